package server

import (
	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/policy"
)

// policyOptions are the rules of c: all that may change while the server runs.
func (s *Server) policyOptions(c *config.Config) (policy.Options, error) {
	cl, ch := &c.Client, &c.Channel
	o := policy.Options{
		AllowAnonymous: cl.AllowAnonymousConnectWithoutToken, DisallowAnonymousTokens: cl.DisallowAnonymousConnectionTokens,
		UserIDHeader: cl.UserIDHTTPHeader, Insecure: cl.Insecure,
		PersonalChannel: policy.PersonalChannel{
			Enabled:          cl.SubscribeToUserPersonalChannel.Enabled,
			Namespace:        cl.SubscribeToUserPersonalChannel.PersonalChannelNamespace,
			SingleConnection: cl.SubscribeToUserPersonalChannel.SingleConnection,
		},
		WithoutNamespace: namespace("", &ch.WithoutNamespace),
		PrivatePrefix:    ch.PrivatePrefix, NamespaceBoundary: ch.NamespaceBoundary,
		UserBoundary: ch.UserBoundary, UserSeparator: ch.UserSeparator,
		MaxLength: ch.MaxLength, ChannelLimit: cl.ChannelLimit,
		HistoryMetaTTL: ch.HistoryMetaTTL, PublicationDataFormat: ch.PublicationDataFormat,
		Logger: s.log,
	}
	for i := range ch.Namespaces {
		o.Namespaces = append(o.Namespaces, namespace(ch.Namespaces[i].Name, &ch.Namespaces[i].ChannelOptions))
	}
	var err error
	if o.Tokens, err = verifier("client.token", &cl.Token, cl.InsecureSkipTokenSignatureVerify); err != nil {
		return o, err
	}
	if cl.SubscriptionToken.Enabled {
		o.SubscriptionTokens, err = verifier("client.subscription_token", &cl.SubscriptionToken.Token, cl.InsecureSkipTokenSignatureVerify)
	}
	return o, err
}

func namespace(name string, c *config.ChannelOptions) policy.Namespace {
	return policy.Namespace{
		Name:     name,
		Presence: c.Presence, JoinLeave: c.JoinLeave, ForcePushJoinLeave: c.ForcePushJoinLeave,
		HistorySize: c.HistorySize, HistoryTTL: c.HistoryTTL, HistoryMetaTTL: c.HistoryMetaTTL,
		ForcePositioning: c.ForcePositioning, AllowPositioning: c.AllowPositioning,
		ForceRecovery: c.ForceRecovery, AllowRecovery: c.AllowRecovery,
		ForceRecoveryMode: c.ForceRecoveryMode, AutoCacheRecover: c.AutoCacheRecover,
		AllowSubscribeForClient: c.AllowSubscribeForClient, AllowSubscribeForAnonymous: c.AllowSubscribeForAnonymous,
		AllowPublishForClient: c.AllowPublishForClient, AllowPublishForSubscriber: c.AllowPublishForSubscriber,
		AllowPublishForAnonymous: c.AllowPublishForAnonymous,
		AllowPresenceForClient:   c.AllowPresenceForClient, AllowPresenceForSubscriber: c.AllowPresenceForSubscriber,
		AllowPresenceForAnonymous: c.AllowPresenceForAnonymous,
		AllowHistoryForClient:     c.AllowHistoryForClient, AllowHistoryForSubscriber: c.AllowHistoryForSubscriber,
		AllowHistoryForAnonymous: c.AllowHistoryForAnonymous,
		AllowUserLimitedChannels: c.AllowUserLimitedChannels,
		ChannelRegex:             c.ChannelRegex, PublicationDataFormat: c.PublicationDataFormat,
	}
}
