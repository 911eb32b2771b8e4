package event

import (
	"encoding/json"
	"time"
)

// The payloads of events that are stored as readers see them (event-gateway.md §5.1,
// webhooks.md §1.7). Ids of the documented tickets, users and transactions are numbers there and
// strings here: each as its contract has it.
type (
	// Identity is the payload of trust.identity.created.
	Identity struct {
		ID                string    `json:"id"`
		Username          string    `json:"username"`
		DisplayName       string    `json:"displayName,omitempty"`
		VerificationLevel string    `json:"verificationLevel,omitempty" enum:"basic|medium|high|excellent"`
		CreatedAt         time.Time `json:"createdAt"`
	}

	// ChangedIdentity is the payload of trust.identity.updated.
	ChangedIdentity struct {
		Identity

		UpdatedAt time.Time `json:"updatedAt"`
		Changes   []string  `json:"changes,omitempty" doc:"names of changed fields"`
	}

	// Verification is the payload of trust.verification.created.
	Verification struct {
		ID               string    `json:"id"`
		IdentityID       string    `json:"identityId"`
		VerifierID       string    `json:"verifierId,omitempty"`
		VerificationType string    `json:"verificationType,omitempty" enum:"email|phone|document|social|blockchain"`
		Status           string    `json:"status,omitempty" enum:"pending|verified|failed|expired"`
		Confidence       float64   `json:"confidence" min:"0" max:"1"`
		CreatedAt        time.Time `json:"createdAt"`
	}

	// ChangedVerification is the payload of trust.verification.updated.
	ChangedVerification struct {
		Verification

		UpdatedAt time.Time `json:"updatedAt"`
	}

	// Reputation is the payload of trust.reputation.updated.
	Reputation struct {
		IdentityID    string    `json:"identityId"`
		Score         float64   `json:"score" min:"0" max:"1"`
		PreviousScore float64   `json:"previousScore" min:"0" max:"1"`
		Level         string    `json:"level,omitempty" enum:"poor|low|medium|high|excellent"`
		Reason        string    `json:"reason,omitempty"`
		UpdatedAt     time.Time `json:"updatedAt"`
	}

	// Metric is the payload of analytics.metric.updated.
	Metric struct {
		Name      string         `json:"name"`
		Value     float64        `json:"value"`
		Unit      string         `json:"unit,omitempty"`
		Timestamp time.Time      `json:"timestamp"`
		Metadata  map[string]any `json:"metadata,omitempty" doc:"server, region and what else the producer says"`
	}

	// Report is the payload of analytics.report.created.
	Report struct {
		ID          string    `json:"id"`
		ReportType  string    `json:"reportType" enum:"performance|usage|security|trust"`
		RequestedBy string    `json:"requestedBy,omitempty"`
		CreatedAt   time.Time `json:"createdAt"`
	}

	// CompletedReport is the payload of analytics.report.completed.
	CompletedReport struct {
		ID          string    `json:"id"`
		ReportType  string    `json:"reportType" enum:"performance|usage|security|trust"`
		Status      string    `json:"status" enum:"completed|failed"`
		URL         string    `json:"url,omitempty"`
		CompletedAt time.Time `json:"completedAt"`
	}

	// Alert is the payload of security.alert.created.
	Alert struct {
		ID          string         `json:"id"`
		Title       string         `json:"title"`
		Description string         `json:"description,omitempty"`
		Severity    string         `json:"severity" enum:"info|low|medium|high|critical|warning"`
		Category    string         `json:"category,omitempty"`
		Source      string         `json:"source,omitempty"`
		CreatedAt   time.Time      `json:"createdAt"`
		Metadata    map[string]any `json:"metadata,omitempty" doc:"userId, attempts, timeWindow and what else is known"`
	}

	// ChangedAlert is the payload of security.alert.updated.
	ChangedAlert struct {
		Alert

		Status    string    `json:"status" enum:"active|acknowledged|resolved"`
		UpdatedBy string    `json:"updatedBy,omitempty"`
		UpdatedAt time.Time `json:"updatedAt"`
	}

	// Scan is the payload of security.scan.started.
	Scan struct {
		ID        string    `json:"id"`
		ScanType  string    `json:"scanType" enum:"full|quick|targeted"`
		Target    string    `json:"target,omitempty"`
		StartedBy string    `json:"startedBy,omitempty"`
		StartedAt time.Time `json:"startedAt"`
	}

	// CompletedScan is the payload of security.scan.completed.
	CompletedScan struct {
		ID          string    `json:"id"`
		ScanType    string    `json:"scanType" enum:"full|quick|targeted"`
		Status      string    `json:"status" enum:"passed|findings|failed"`
		Findings    Findings  `json:"findings"`
		CompletedAt time.Time `json:"completedAt"`
	}

	// Findings counts what a scan found, by severity.
	Findings struct {
		Critical int `json:"critical" min:"0"`
		High     int `json:"high" min:"0"`
		Medium   int `json:"medium" min:"0"`
		Low      int `json:"low" min:"0"`
	}

	// Status is the payload of system.status.changed.
	Status struct {
		Status         string            `json:"status" enum:"operational|degraded|partial_outage|major_outage"`
		PreviousStatus string            `json:"previousStatus,omitempty" enum:"operational|degraded|partial_outage|major_outage"`
		Components     map[string]string `json:"components,omitempty" doc:"the status of each component"`
		ChangedAt      time.Time         `json:"changedAt"`
	}

	// Maintenance is the payload of system.maintenance.start.
	Maintenance struct {
		ID           string     `json:"id"`
		Title        string     `json:"title,omitempty"`
		ScheduledEnd *time.Time `json:"scheduledEnd,omitempty"`
		Affected     []string   `json:"affected,omitempty" doc:"components"`
		StartedAt    time.Time  `json:"startedAt"`
	}

	// EndedMaintenance is the payload of system.maintenance.end.
	EndedMaintenance struct {
		ID           string     `json:"id"`
		Title        string     `json:"title,omitempty"`
		ScheduledEnd *time.Time `json:"scheduledEnd,omitempty"`
		Affected     []string   `json:"affected,omitempty" doc:"components"`
		EndedAt      time.Time  `json:"endedAt"`
	}

	// GoneUser is the payload of user.suspended and user.deleted.
	GoneUser struct {
		UserID int64 `json:"user_id"`
	}

	// Transaction is the payload of payment.completed, transaction.created and
	// transaction.completed.
	Transaction struct {
		TransactionID int64   `json:"transaction_id"`
		UserID        int64   `json:"user_id"`
		Type          string  `json:"type" enum:"deposit|withdrawal|subscription_payment|refund|failed_refund|referral_reward|poll_reward|gift_payment"`
		AmountKopeks  int64   `json:"amount_kopeks" min:"0" doc:"in minor units"`
		AmountRubles  Amount  `json:"amount_rubles" min:"0" doc:"in major units; always written as a float"`
		PaymentMethod *string `json:"payment_method"`
		ExternalID    *string `json:"external_id"`
		IsCompleted   bool    `json:"is_completed"`
		Description   *string `json:"description"`
	}

	// Ticket is the payload of ticket.created.
	Ticket struct {
		TicketID int64  `json:"ticket_id"`
		UserID   int64  `json:"user_id"`
		Title    string `json:"title"`
		Status   string `json:"status" enum:"open|answered|pending|closed"`
		Priority string `json:"priority" enum:"low|normal|high|urgent"`
		HasMedia bool   `json:"has_media"`
	}

	// TicketStatus is the payload of ticket.status_changed.
	TicketStatus struct {
		TicketID  int64      `json:"ticket_id"`
		UserID    int64      `json:"user_id"`
		OldStatus string     `json:"old_status" enum:"open|answered|pending|closed" doc:"the status before the change"`
		NewStatus string     `json:"new_status" enum:"open|answered|pending|closed"`
		ClosedAt  *time.Time `json:"closed_at"`
	}

	// TicketMessage is the payload of ticket.message_added.
	TicketMessage struct {
		TicketID    int64  `json:"ticket_id"`
		MessageID   int64  `json:"message_id"`
		UserID      int64  `json:"user_id" doc:"who the ticket belongs to"`
		IsFromAdmin bool   `json:"is_from_admin"`
		MessageText string `json:"message_text" maxlen:"200" doc:"the first 200 characters"`
		HasMedia    bool   `json:"has_media"`
		Status      string `json:"status" enum:"open|answered|pending|closed"`
	}

	// ChangedTicket is the payload of ticket.updated.
	ChangedTicket struct {
		TicketID            int64      `json:"ticket_id"`
		UserID              int64      `json:"user_id"`
		Changes             []string   `json:"changes" doc:"names of changed fields"`
		Title               string     `json:"title"`
		Status              string     `json:"status" enum:"open|answered|pending|closed"`
		Priority            string     `json:"priority" enum:"low|normal|high|urgent"`
		AssigneeID          *int64     `json:"assignee_id"`
		RepliesBlockedUntil *time.Time `json:"replies_blocked_until"`
	}

	// Webhook is the payload of webhook.failing, webhook.disabled and webhook.recovered.
	Webhook struct {
		WebhookID int64  `json:"webhook_id"`
		Name      string `json:"name"`
		Failures  int    `json:"consecutive_failures" min:"0"`
		Reason    string `json:"reason,omitempty"`
	}

	// Exhausted is the payload of delivery.exhausted.
	Exhausted struct {
		DeliveryID int64  `json:"delivery_id"`
		WebhookID  int64  `json:"webhook_id"`
		EventID    string `json:"event_id"`
		EventType  string `json:"event_type"`
		Attempts   int    `json:"attempts" min:"0"`
		Error      string `json:"error,omitempty"`
	}
)

var (
	sampleIdentity     = Identity{ID: "idn_1", Username: "nadia", DisplayName: "Nadia", VerificationLevel: "basic", CreatedAt: sampleTime}
	sampleVerification = Verification{
		ID: "ver_1", IdentityID: "idn_1", VerifierID: "1", VerificationType: "email", Status: "pending", CreatedAt: sampleTime,
	}
	sampleAlert = Alert{
		ID: "alr_1", Title: "Failed sign-ins", Description: "10 failed sign-ins in 5 minutes", Severity: "high", Category: "authentication", Source: "identity",
		CreatedAt: sampleTime, Metadata: map[string]any{"userId": "88", "attempts": 10, "timeWindow": "5m"},
	}
	sampleWebhook = Webhook{WebhookID: 14, Name: "CRM sync", Failures: 10, Reason: "HTTP 500"}
	sampleToken   = Token{TokenID: "key_1", Name: "CRM", Scopes: []string{"events:read"}}
	sampleMessage = Message{
		ID: "8123", RoomID: "31", SenderID: "88", SenderName: "Nadia", Content: "Hello", MessageType: "text", CreatedAt: sampleTime,
		Metadata: json.RawMessage(`{"priority":"normal"}`),
	}
)
