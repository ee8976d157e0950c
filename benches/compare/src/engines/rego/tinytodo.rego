# The policies of tinytodo, one rule each.
package app

import rego.v1

default allow := false

# Anybody can create a list and see what lists they own.
allow if {
	input.action in {`Action::"CreateList"`, `Action::"GetLists"`}
	input.resource == `Application::"TinyTodo"`
}

# A user can perform any action on a list that they own.
allow if data.entities[input.resource].attrs.owner == input.principal

# A user can see a list if they are a reader or an editor.
allow if {
	input.action == `Action::"GetList"`
	principal_in(data.entities[input.resource].attrs.readers)
}

allow if {
	input.action == `Action::"GetList"`
	principal_in(data.entities[input.resource].attrs.editors)
}

# A user can update a list and its tasks if they are an editor.
allow if {
	input.action in {
		`Action::"UpdateList"`,
		`Action::"CreateTask"`,
		`Action::"UpdateTask"`,
		`Action::"DeleteTask"`,
	}
	principal_in(data.entities[input.resource].attrs.editors)
}

principal_in(group) if input.principal == group

principal_in(group) if data.entities[input.principal].ancestors[group]
