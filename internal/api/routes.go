package api

import "net/http"

// What operations need.
const (
	get   = http.MethodGet
	post  = http.MethodPost
	put   = http.MethodPut
	patch = http.MethodPatch
	del   = http.MethodDelete

	created = http.StatusCreated
	ok      = http.StatusOK
)

// routes registers every operation, in the order of chat-api.md part C.
func (a *API) routes() {
	a.accountRoutes()
	a.chatRoutes()
	a.otherRoutes()
	a.ticketRoutes()
	a.paymentRoutes()
	a.trustRoutes()
	a.statusRoutes()
	a.alertRoutes()
	a.analyticsRoutes()
	a.ownPrivacyRoutes()
	a.adminRoutes()
	a.adminPeopleRoutes()
	a.adminChatRoutes()
	a.adminPrivacyRoutes()
}

// accountRoutes are §C.1 and §C.2.
func (a *API) accountRoutes() {
	handle(a, op{post, "/auth/register", Public, "Make an account and log in", created, nil, false}, a.register)
	handle(a, op{post, "/auth/first-admin", Public, "Make the first administrator", created, nil, false}, a.firstAdmin)
	handle(a, op{post, "/auth/login", Public, "Log in", ok, nil, false}, a.login)
	handle(a, op{post, "/auth/refresh", Public, "Replace the refresh token", ok, nil, false}, a.refresh)
	handle(a, op{post, "/auth/logout", Public, "End the session", 0, nil, false}, a.logout)
	handle(a, op{post, "/auth/logout-all", People, "End the sessions of all devices", ok, nil, false}, a.logoutAll)
	handle(a, op{get, "/auth/sessions", People, "List the sessions", ok, nil, false}, a.sessions)
	handle(a, op{del, "/auth/sessions/{id}", People, "End a session", 0, nil, false}, a.terminate)
	handle(a, op{post, "/auth/password", People, "Change the password", 0, nil, false}, a.changePassword)
	handle(a, op{post, "/auth/password/forgot", Public, "Ask for a letter to reset the password", 0, nil, false}, a.forgotPassword)
	handle(a, op{post, "/auth/password/reset", Public, "Reset the password", 0, nil, false}, a.resetPassword)
	handle(a, op{post, "/auth/email/verify", Public, "Verify the e-mail address", 0, nil, false}, a.verifyEmail)
	handle(a, op{post, "/auth/connection-token", People, "Get a token for the realtime server", ok, nil, false}, a.connectionToken)

	handle(a, op{get, "/me", People, "Show the own account", ok, nil, false}, a.getMe)
	handle(a, op{patch, "/me", People, "Change the own account", ok, nil, false}, a.changeMe)
	handle(a, op{put, "/me/avatar", People, "Set the avatar (multipart, file)", ok, nil, false}, a.setAvatar)
	handle(a, op{del, "/me/avatar", People, "Remove the avatar", 0, nil, false}, a.removeAvatar)
	handle(a, op{get, "/users/{id}", People, "Show a person", ok, nil, false}, a.getUser)
	handle(a, op{post, "/users/batch", People, "Show several people", ok, nil, false}, a.getUsers)
	handle(a, op{get, "/users/search", People, "Find people", ok, nil, false}, a.searchUsers)
	handle(a, op{get, "/blocks", People, "List who is blocked", ok, nil, false}, a.blocks)
	handle(a, op{put, "/blocks/{id}", People, "Block a person", 0, nil, false}, a.block)
	handle(a, op{del, "/blocks/{id}", People, "Unblock a person", 0, nil, false}, a.unblock)
	handle(a, op{get, "/contacts", People, "List contacts and requests", ok, nil, false}, a.contacts)
	handle(a, op{post, "/contacts/requests", People, "Ask somebody to become a contact", 0, nil, false}, a.requestContact)
	handle(a, op{post, "/contacts/requests/{id}/accept", People, "Accept a request", 0, nil, false}, a.acceptContact)
	handle(a, op{post, "/contacts/requests/{id}/decline", People, "Decline a request", 0, nil, false}, a.declineContact)
	handle(a, op{del, "/contacts/{id}", People, "Remove a contact", 0, nil, false}, a.removeContact)
}

// chatRoutes are §C.3 to §C.5.
func (a *API) chatRoutes() {
	handle(a, op{get, "/chats", People, "List the chats", ok, nil, false}, a.listChats)
	handle(a, op{post, "/chats", People, "Open a direct chat or make a group", created, []int{ok}, true}, a.createChat)
	handle(a, op{get, "/chats/{id}", People, "Show a chat", ok, nil, false}, a.getChat)
	handle(a, op{patch, "/chats/{id}", People, "Change a chat", ok, nil, false}, a.changeChat)
	handle(a, op{del, "/chats/{id}", People, "Delete a chat for oneself or for all", 0, nil, false}, a.deleteChat)
	handle(a, op{put, "/chats/{id}/state", People, "Mute, pin, archive; keep a draft", ok, nil, false}, a.setState)
	handle(a, op{post, "/chats/{id}/clear", People, "Clear the history for oneself", 0, nil, false}, a.clearChat)
	handle(a, op{get, "/me/saved", People, "Show the chat with oneself", ok, nil, false}, a.saved)

	handle(a, op{get, "/chats/{id}/messages", People, "List messages", ok, nil, false}, a.messages)
	handle(a, op{post, "/chats/{id}/messages", People, "Send a message", created, []int{ok}, false}, a.send)
	handle(a, op{post, "/users/{id}/messages", People, "Send a message to a person", created, []int{ok}, false}, a.sendToUser)
	handle(a, op{patch, "/messages/{id}", People, "Edit a message", ok, nil, false}, a.edit)
	handle(a, op{get, "/messages/{id}/edits", People, "Show earlier texts of a message", ok, nil, false}, a.edits)
	handle(a, op{del, "/messages/{id}", People, "Delete a message for oneself or for all", 0, nil, false}, a.deleteMessage)
	handle(a, op{post, "/chats/{id}/messages/delete", People, "Delete several messages", 0, nil, false}, a.deleteMessages)
	handle(a, op{put, "/messages/{id}/reactions/{emoji}", People, "React to a message", ok, nil, false}, a.react)
	handle(a, op{del, "/messages/{id}/reactions/{emoji}", People, "Take a reaction back", ok, nil, false}, a.unreact)
	handle(a, op{get, "/messages/{id}/reactions", People, "Show who reacted", ok, nil, false}, a.reacted)
	handle(a, op{put, "/messages/{id}/pin", People, "Pin a message", 0, nil, false}, a.pin)
	handle(a, op{del, "/messages/{id}/pin", People, "Unpin a message", 0, nil, false}, a.unpin)
	handle(a, op{get, "/chats/{id}/pins", People, "List pinned messages", ok, nil, false}, a.pins)
	handle(a, op{post, "/messages/forward", People, "Forward messages", created, nil, true}, a.forward)
	handle(a, op{get, "/messages/{id}", People, "Show a message and its chat", ok, nil, false}, a.getMessage)

	handle(a, op{post, "/chats/{id}/read", People, "Mark as read", ok, nil, false}, a.markRead)
	handle(a, op{post, "/chats/{id}/delivered", People, "Mark as delivered", 0, nil, false}, a.markDelivered)
	handle(a, op{post, "/receipts", People, "Mark several chats", 0, nil, false}, a.markAll)
	handle(a, op{post, "/chats/{id}/unread", People, "Mark as unread for oneself", 0, nil, false}, a.markUnread)
	handle(a, op{post, "/chats/read-all", People, "Mark all chats as read", ok, nil, false}, a.readAll)
	handle(a, op{get, "/unread", People, "Count what is unread", ok, nil, false}, a.unread)
	handle(a, op{get, "/messages/{id}/receipts", People, "Show who has read a message", ok, nil, false}, a.messageReceipts)
}

// otherRoutes are §C.6 to §C.11.
func (a *API) otherRoutes() {
	handle(a, op{post, "/chats/{id}/typing", People, "Tell that one is typing", 0, nil, false}, a.typing)
	handle(a, op{post, "/presence/query", People, "Ask who is there", ok, nil, false}, a.presence)

	handle(a, op{get, "/chats/{id}/members", People, "List members", ok, nil, false}, a.members)
	handle(a, op{post, "/chats/{id}/members", People, "Add members", ok, nil, false}, a.addMembers)
	handle(a, op{patch, "/chats/{id}/members/{userId}", People, "Change a member's role", 0, nil, false}, a.setMemberRole)
	handle(a, op{del, "/chats/{id}/members/{userId}", People, "Remove a member, or leave", 0, nil, false}, a.removeMember)
	handle(a, op{get, "/chats/{id}/bans", People, "List who is banned", ok, nil, false}, a.bans)
	handle(a, op{del, "/chats/{id}/bans/{userId}", People, "Lift a ban", 0, nil, false}, a.unban)
	handle(a, op{post, "/chats/{id}/transfer", People, "Hand the group over", 0, nil, false}, a.transfer)
	handle(a, op{post, "/chats/{id}/invites", People, "Make an invitation", created, nil, true}, a.createInvite)
	handle(a, op{get, "/chats/{id}/invites", People, "List invitations", ok, nil, false}, a.invites)
	handle(a, op{del, "/chats/{id}/invites/{inviteId}", People, "Revoke an invitation", 0, nil, false}, a.revokeInvite)
	handle(a, op{get, "/invites/{id}", People, "Look at an invitation", ok, nil, false}, a.previewInvite)
	handle(a, op{post, "/invites/{id}/join", People, "Join by an invitation", ok, nil, false}, a.join)

	handle(a, op{post, "/files", People, "Upload a file (multipart: kind, then file)", created, nil, true}, a.upload)
	handle(a, op{post, "/files/uploads", People, "Begin an upload in parts", created, nil, true}, a.beginUpload)
	handle(a, op{get, "/files/uploads/{id}", People, "Ask where an upload continues", ok, nil, false}, a.getUpload)
	handle(a, op{put, "/files/uploads/{id}", People, "Upload a part (application/octet-stream)", ok, nil, false}, a.putPart)
	handle(a, op{post, "/files/uploads/{id}/complete", People, "Complete an upload", created, nil, false}, a.completeUpload)
	handle(a, op{del, "/files/uploads/{id}", People, "Give up an upload", 0, nil, false}, a.abortUpload)
	handle(a, op{get, "/files/{id}", People, "Be sent to a fresh address of a file", http.StatusFound, nil, false}, a.getFile)
	handle(a, op{get, "/files/{id}/{variant}", Public, "Read a file by its signed address", ok, []int{http.StatusPartialContent, http.StatusNotModified}, false}, a.openFile)

	handle(a, op{get, "/chats/{id}/changes", People, "List what changed in a chat", ok, nil, false}, a.changes)

	handle(a, op{get, "/search/messages", People, "Find messages", ok, nil, false}, a.searchMessages)
	handle(a, op{get, "/search", People, "Find people, chats and messages", ok, nil, false}, a.searchAll)
}

// adminRoutes are §C.14.
func (a *API) adminRoutes() {
	handle(a, op{get, "/admin/users", Admins, "List accounts", ok, nil, false}, a.listAccounts)
	handle(a, op{post, "/admin/users", FreshAdmins, "Make an account", created, nil, true}, a.createAccount)
	handle(a, op{put, "/admin/users/external/{externalId}", FreshAdmins, "Make or change the account of an external id", ok, []int{created}, false}, a.upsertAccount)
	handle(a, op{get, "/admin/users/{id}", Admins, "Show an account", ok, nil, false}, a.getAccount)
	handle(a, op{patch, "/admin/users/{id}", FreshAdmins, "Suspend, let in, set role or password", ok, nil, false}, a.changeAccount)
	handle(a, op{post, "/admin/users/{id}/reset", FreshAdmins, "Make a token that resets a password", created, nil, false}, a.createReset)
	handle(a, op{post, "/admin/invites", FreshAdmins, "Make an invitation to register", created, nil, false}, a.createRegistration)
	handle(a, op{get, "/admin/keys", Admins, "List API keys", ok, nil, false}, a.keys)
	handle(a, op{post, "/admin/keys", FreshAdmins, "Make an API key", created, nil, false}, a.createKey)
	handle(a, op{del, "/admin/keys/{id}", FreshAdmins, "Revoke an API key", 0, nil, false}, a.revokeKey)
	handle(a, op{post, "/admin/notices", Admins, "Tell everybody something", created, nil, true}, a.notifyAll)
}
