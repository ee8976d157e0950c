# The policies of github, one rule each.
package app

import rego.v1

default allow := false

repository := data.entities[input.resource].attrs

owner := data.entities[repository.owner].attrs

allow if {
	input.action == `Action::"read"`
	principal_in(repository.readers)
}

allow if {
	action_in(`Action::"triage"`)
	principal_in(repository.triagers)
}

allow if {
	action_in(`Action::"write"`)
	principal_in(repository.writers)
}

allow if {
	action_in(`Action::"maintain"`)
	principal_in(repository.maintainers)
}

allow if {
	action_in(`Action::"admin"`)
	principal_in(repository.admins)
}

# Permissions inherited from the repository's owner.
allow if {
	input.action == `Action::"read"`
	principal_in(owner.readers)
}

allow if {
	action_in(`Action::"write"`)
	principal_in(owner.writers)
}

allow if {
	action_in(`Action::"admin"`)
	principal_in(owner.admins)
}

action_in(group) if input.action == group

action_in(group) if data.entities[input.action].ancestors[group]

principal_in(group) if input.principal == group

principal_in(group) if data.entities[input.principal].ancestors[group]
