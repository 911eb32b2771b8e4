package event

import (
	"slices"
	"time"
)

// More types: see names.go for those of messages, rooms, users and tokens.
const (
	TrustIdentityCreated     = "trust.identity.created"
	TrustIdentityUpdated     = "trust.identity.updated"
	TrustVerificationCreated = "trust.verification.created"
	TrustVerificationUpdated = "trust.verification.updated"
	TrustReputationUpdated   = "trust.reputation.updated"

	MetricUpdated   = "analytics.metric.updated"
	ReportCreated   = "analytics.report.created"
	ReportCompleted = "analytics.report.completed"

	AlertCreated  = "security.alert.created"
	AlertUpdated  = "security.alert.updated"
	ScanStarted   = "security.scan.started"
	ScanCompleted = "security.scan.completed"

	StatusChanged    = "system.status.changed"
	MaintenanceStart = "system.maintenance.start"
	MaintenanceEnd   = "system.maintenance.end"

	PaymentCompleted   = "payment.completed"
	TransactionCreated = "transaction.created"
	// TransactionCompleted is ours: a pending transaction other than a deposit now counts.
	TransactionCompleted = "transaction.completed"

	TicketCreated       = "ticket.created"
	TicketStatusChanged = "ticket.status_changed"
	TicketMessageAdded  = "ticket.message_added"
	TicketUpdated       = "ticket.updated"

	WebhookFailing    = "webhook.failing"
	WebhookDisabled   = "webhook.disabled"
	WebhookRecovered  = "webhook.recovered"
	DeliveryExhausted = "delivery.exhausted"
)

// internal are types whose events concern one person's own sessions and screens: no
// reader of the log but the realtime channels gets them.
var internal = map[string]bool{UserNotice: true, SessionRevoked: true}

var (
	sampleTime  = time.Date(2026, 3, 2, 8, 16, 2, 0, time.UTC)
	sampleLater = sampleTime.Add(time.Minute)
)

// kinds is the catalogue: one declaration for each type, in the order of the documentation.
var kinds = slices.Concat(
	[]*Kind{
		viewed(MessageCreated, "messages", sampleMessage, viewMessage, declaration{summary: "A message was sent to a room.", producer: "chat"}),
		viewed(MessageUpdated, "messages", ChangedMessage{Message: sampleMessage, Changes: []string{"content"}, UpdatedAt: sampleLater}, viewChangedMessage,
			declaration{summary: "A message was edited.", producer: "chat"}),
		viewed(MessageDeleted, "messages", DeletedMessage{ID: "8123", RoomID: "31", DeletedBy: "88", DeletedAt: sampleLater}, viewDeletedMessage,
			declaration{summary: "A message was deleted for everybody.", producer: "chat"}),
		viewed(MessageReaction, "messages", Reaction{MessageID: "8123", RoomID: "31", UserID: "88", Emoji: "👍", Action: "add"}, viewReaction,
			declaration{summary: "Somebody reacted to a message, or took the reaction back.", producer: "chat", named: true}),
		viewed(MessagePinned, "messages", Pin{MessageID: "8123", RoomID: "31", Pinned: true, UserID: "88"}, viewPin,
			declaration{summary: "A message was pinned, or the pin taken away.", producer: "chat", named: true}),

		viewed(RoomCreated, "rooms", Room{ID: "31", Name: "Garden", Type: "group", CreatedBy: "88", MemberCount: 2, CreatedAt: sampleTime}, viewRoom,
			declaration{summary: "A room was made.", producer: "chat"}),
		viewed(RoomUpdated, "rooms", ChangedRoom{ID: "31", Name: "Garden", Changes: []string{"title"}, UpdatedBy: "88", UpdatedAt: sampleLater}, viewChangedRoom,
			declaration{summary: "The name, picture or settings of a room changed.", producer: "chat"}),
		viewed(RoomDeleted, "rooms", DeletedRoom{ID: "31", DeletedBy: "88", DeletedAt: sampleLater}, viewDeletedRoom,
			declaration{summary: "A room was deleted.", producer: "chat", named: true}),
		viewed(RoomMemberJoined, "rooms", JoinedMember{
			RoomID: "31", UserID: "88", UserName: "Nadia", Role: "member", JoinedAt: sampleTime,
			Users: []RoomMember{{UserID: "88", UserName: "Nadia"}},
		}, viewJoined, declaration{summary: "People joined a room.", producer: "chat"}),
		viewed(RoomMemberLeft, "rooms", LeftMember{
			RoomID: "31", UserID: "88", UserName: "Nadia", Reason: "left", LeftAt: sampleLater,
			Users: []RoomMember{{UserID: "88", UserName: "Nadia"}},
		}, viewLeft, declaration{summary: "People left a room, or were removed.", producer: "chat"}),
		viewed(RoomMemberUpdated, "rooms", UpdatedMember{RoomID: "31", UserID: "88", UserName: "Nadia", Role: "admin", UpdatedAt: sampleLater}, viewUpdatedMember,
			declaration{summary: "The role of a member changed.", producer: "chat", named: true}),
	},
	[]*Kind{
		declare(TrustIdentityCreated, "trust", sampleIdentity, declaration{summary: "An identity was registered.", producer: "trust"}),
		declare(TrustIdentityUpdated, "trust", ChangedIdentity{Identity: sampleIdentity, UpdatedAt: sampleLater, Changes: []string{"displayName"}},
			declaration{summary: "An identity changed, or its level.", producer: "trust"}),
		declare(TrustVerificationCreated, "trust", sampleVerification, declaration{summary: "A verification of an identity began.", producer: "trust"}),
		declare(TrustVerificationUpdated, "trust", ChangedVerification{Verification: sampleVerification, UpdatedAt: sampleLater},
			declaration{summary: "A verification succeeded, failed or expired.", producer: "trust"}),
		declare(TrustReputationUpdated, "trust",
			Reputation{IdentityID: "idn_1", Score: 0.7, PreviousScore: 0.5, Level: "high", Reason: "verification", UpdatedAt: sampleLater},
			declaration{summary: "The reputation of an identity was computed anew and is another.", producer: "trust", latest: []string{"identityId"}}),

		declare(MetricUpdated, "analytics", Metric{
			Name: "cpu_usage", Value: 42.5, Unit: "percent", Timestamp: sampleTime, Metadata: map[string]any{"server": "node-1", "region": "eu"},
		}, declaration{summary: "A metric has a new value.", producer: "analytics", latest: []string{"name", "metadata.server"}}),
		declare(ReportCreated, "analytics", Report{ID: "rep_1", ReportType: "usage", RequestedBy: "88", CreatedAt: sampleTime},
			declaration{summary: "A report was asked for.", producer: "analytics"}),
		declare(ReportCompleted, "analytics", CompletedReport{ID: "rep_1", ReportType: "usage", Status: "completed", URL: "/api/v2/reports/rep_1/file", CompletedAt: sampleLater},
			declaration{summary: "A report is ready, or could not be made.", producer: "analytics"}),

		declare(AlertCreated, "security", sampleAlert, declaration{summary: "Something was noticed that should be looked at.", producer: "alerts"}),
		declare(AlertUpdated, "security", ChangedAlert{Alert: sampleAlert, Status: "acknowledged", UpdatedBy: "1", UpdatedAt: sampleLater},
			declaration{summary: "An alert happened again, was acknowledged or resolved.", producer: "alerts"}),
		declare(ScanStarted, "security", Scan{ID: "scn_1", ScanType: "full", Target: "configuration", StartedBy: "1", StartedAt: sampleTime},
			declaration{summary: "A scan of the running server's configuration began.", producer: "alerts"}),
		declare(ScanCompleted, "security", CompletedScan{ID: "scn_1", ScanType: "full", Status: "findings", Findings: Findings{High: 1, Low: 2}, CompletedAt: sampleLater},
			declaration{summary: "A scan has ended.", producer: "alerts"}),

		declare(StatusChanged, "system", Status{
			Status: "degraded", PreviousStatus: "operational", Components: map[string]string{"database": "operational", "delivery": "degraded"}, ChangedAt: sampleTime,
		}, declaration{summary: "The state of the service changed.", producer: "status"}),
		declare(MaintenanceStart, "system", Maintenance{ID: "mnt_1", Title: "New disks", ScheduledEnd: &sampleLater, Affected: []string{"database"}, StartedAt: sampleTime},
			declaration{summary: "Maintenance began.", producer: "status"}),
		declare(MaintenanceEnd, "system", EndedMaintenance{ID: "mnt_1", Title: "New disks", Affected: []string{"database"}, EndedAt: sampleLater},
			declaration{summary: "Maintenance ended.", producer: "status"}),
		viewed(SystemNotice, "system", Notice{ID: "n_01JNB3C7Q9V5T2M8K4X6Z0R1WD", Level: "info", Content: "Short break at noon", SentAt: sampleTime}, viewNotice,
			declaration{summary: "A notice to everybody.", producer: "chat", named: true}),
	},
	[]*Kind{
		viewed(UserCreated, "users", NewUser{UserID: 123, Username: ptr("testuser"), FirstName: ptr("Test")}, viewNewUser,
			declaration{summary: "An account was made.", producer: "identity"}),
		viewed(UserUpdated, "users", ChangedUser{UserID: 123, Changes: []string{"name"}, Username: ptr("testuser"), Name: "Test", Role: "user", State: "active"}, viewChangedUser,
			declaration{summary: "An account changed.", producer: "identity"}),
		declare(UserSuspended, "users", GoneUser{UserID: 123}, declaration{summary: "An account was suspended.", producer: "identity"}),
		declare(UserDeleted, "users", GoneUser{UserID: 123}, declaration{summary: "An account was deleted.", producer: "identity"}),
		viewed(TokenCreated, "users", sampleToken, viewToken, declaration{summary: "An API key was made.", producer: "identity", named: true}),
		viewed(TokenRevoked, "users", sampleToken, viewToken, declaration{summary: "An API key was revoked.", producer: "identity", named: true}),

		declare(PaymentCompleted, "payments", Transaction{
			TransactionID: 901, UserID: 123, Type: "deposit", AmountKopeks: 15000, AmountRubles: 150, PaymentMethod: ptr("card"), IsCompleted: true, Description: ptr("Пополнение баланса"),
		}, declaration{summary: "A deposit was completed.", producer: "payments"}),
		declare(TransactionCreated, "payments", Transaction{TransactionID: 902, UserID: 123, Type: "withdrawal", AmountKopeks: 9900, AmountRubles: 99, IsCompleted: true},
			declaration{summary: "Money went another way than by a deposit.", producer: "payments"}),
		declare(TransactionCompleted, "payments", Transaction{TransactionID: 902, UserID: 123, Type: "withdrawal", AmountKopeks: 9900, AmountRubles: 99, IsCompleted: true},
			declaration{summary: "A pending transaction other than a deposit was completed.", producer: "payments", named: true}),

		declare(TicketCreated, "tickets", Ticket{TicketID: 55, UserID: 8, Title: "Cannot pay", Status: "open", Priority: "high"},
			declaration{summary: "A ticket was opened.", producer: "tickets"}),
		declare(TicketStatusChanged, "tickets", TicketStatus{TicketID: 55, UserID: 8, OldStatus: "open", NewStatus: "closed", ClosedAt: &sampleLater},
			declaration{summary: "The status of a ticket changed.", producer: "tickets"}),
		declare(TicketMessageAdded, "tickets", TicketMessage{TicketID: 55, MessageID: 31, UserID: 8, MessageText: "It works now", Status: "open"},
			declaration{summary: "A user or an operator wrote in a ticket.", producer: "tickets"}),
		declare(TicketUpdated, "tickets", ChangedTicket{TicketID: 55, UserID: 8, Changes: []string{"priority"}, Title: "Cannot pay", Status: "open", Priority: "urgent"},
			declaration{summary: "The priority, the assignee or the block of replies of a ticket changed.", producer: "tickets", named: true}),

		declare(WebhookFailing, "webhooks", sampleWebhook, declaration{summary: "Deliveries to a webhook fail one after the other.", producer: "delivery"}),
		declare(WebhookDisabled, "webhooks", sampleWebhook, declaration{summary: "A webhook was switched off by itself; reason says why.", producer: "delivery"}),
		declare(WebhookRecovered, "webhooks", sampleWebhook, declaration{summary: "A failing webhook is answered again.", producer: "delivery"}),
		declare(DeliveryExhausted, "webhooks",
			Exhausted{DeliveryID: 9001, WebhookID: 14, EventID: "evt_01JNB3C7Q9V5T2M8K4X6Z0R1WD", EventType: TicketCreated, Attempts: 12, Error: "HTTP 500"},
			declaration{summary: "A delivery was given up after its last attempt.", producer: "delivery"}),
	},
)

// builtIn are the kinds by type.
var builtIn = func() map[string]*Kind {
	m := make(map[string]*Kind, len(kinds))
	for _, k := range kinds {
		m[k.Type] = k
	}
	return m
}()

func ptr[T any](v T) *T { return &v }
