# The policies of gdrive, one rule each.
package app

import rego.v1

default allow := false

principal := data.entities[input.principal].attrs

# View access to a document, a parent folder, or through a group.
allow if {
	input.action == `Action::"read"`
	resource_in(principal.documentsAndFoldersWithViewAccess)
}

# Anybody can read a public document.
allow if {
	input.action == `Action::"read"`
	data.entities[input.resource].attrs.isPublic
}

# Owners of a document or a parent folder can read, write and share the document.
allow if {
	input.action in {`Action::"read"`, `Action::"write"`, `Action::"share"`}
	some document in principal.ownedDocuments
	resource_in(document)
}

allow if {
	input.action in {`Action::"read"`, `Action::"write"`, `Action::"share"`}
	some folder in principal.ownedFolders
	resource_in(folder)
}

# A document's owner can change the owner.
allow if {
	input.action == `Action::"changeOwner"`
	input.resource in principal.ownedDocuments
}

# A folder's owner can create documents.
allow if {
	input.action == `Action::"createDocument"`
	input.resource in principal.ownedFolders
}

resource_in(group) if input.resource == group

resource_in(group) if data.entities[input.resource].ancestors[group]
