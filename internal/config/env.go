package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// The prefixes of variables; the second is taken too, and gives way to the first.
const (
	envPrefix    = "KURANTY_"
	envOldPrefix = "CENTRIFUGO_"
)

// envOther are variables of ours that are not configuration: the choice of the file,
// those of commands that talk to a running server, and VAR_… of Centrifugo's maps.
var envOther = []string{"CONFIG", "URL", "TOKEN", "VAR_"}

// serviceVariable matches what Kubernetes sets for a service called like the prefix,
// and serviceAddress the value of its ambiguous ones.
var (
	serviceVariable = regexp.MustCompile(`(^|_)(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	serviceAddress  = regexp.MustCompile(`^(tcp|udp|sctp)://`)
)

// envName is a path or a name as variables write it.
func envName(path string) string {
	return strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToUpper(path))
}

// envKeys maps variables, without prefix, to paths; envFlat to names of the flat files.
var envKeys, envFlat = func() (paths, flat map[string]string) {
	paths, flat = map[string]string{}, map[string]string{}
	for key := range foreignKeys {
		if option, ok := strings.CutPrefix(key, anyChannels); ok {
			key = "channel.without_namespace." + option
		}
		paths[envName(key)] = key
	}
	for o := range keys.values() {
		paths[envName(o.path)] = o.path
	}
	for name := range flatKeys {
		if _, ok := paths[envName(name)]; !ok {
			flat[envName(name)] = name
		}
	}
	return paths, flat
}()

// env applies the variables: those of the old prefix, then ours.
func (l *loader) env(environ []string) {
	for _, prefix := range []string{envOldPrefix, envPrefix} {
		l.seen = map[string]place{}
		var late []string
		for _, kv := range slices.Sorted(slices.Values(environ)) {
			name, text, _ := strings.Cut(kv, "=")
			rest, ok := strings.CutPrefix(name, prefix)
			if !ok || text == "" {
				continue
			}
			if _, known := envKeys[rest]; strings.HasPrefix(rest, "CHANNEL_NAMESPACES_") && !known {
				late = append(late, kv) // when all namespaces are known
				continue
			}
			l.variable(prefix, rest, text)
		}
		for _, kv := range late {
			name, text, _ := strings.Cut(kv, "=")
			l.variable(prefix, strings.TrimPrefix(name, prefix), text)
		}
	}
}

func (l *loader) variable(prefix, name, text string) {
	at := place{layer: "env " + prefix + name}
	path, known := envKeys[name]
	old, flat := envFlat[name]
	switch {
	case slices.ContainsFunc(envOther, func(o string) bool { return name == o || strings.HasSuffix(o, "_") && strings.HasPrefix(name, o) }):
	case serviceAddress.MatchString(text) && strings.HasSuffix("_"+name, "_PORT") || !known && serviceVariable.MatchString(name):
		l.note(prefix+name, at, true, "looks like a variable of a Kubernetes service, ignored")
	case known:
		l.put(path, textValue(text), at)
	case flat:
		l.top(old, textValue(text), at)
	case l.envElement(name, text, at), envStem(name):
	case v3Names[strings.ToLower(name)]:
		l.problem(prefix+name, at, "a name of version 3 of Centrifugo; it is translated in files only")
	case prefix == envOldPrefix:
		l.note(prefix+name, at, true, "unknown variable, ignored")
	case strings.HasPrefix(name, "CHANNEL_NAMESPACES_"):
		l.problem(prefix+name, at, "unknown variable: channel.namespaces has no such namespace, or that has no such option")
	default:
		names := slices.Collect(maps.Keys(envKeys))
		l.problem(prefix+name, at, "unknown variable; the nearest known one is %s", prefix+nearest(name, names))
	}
}

// envElement sets an option of one namespace: CHANNEL_NAMESPACES_NAME_OPTION.
func (l *loader) envElement(name, text string, at place) bool {
	inside, ok := strings.CutPrefix(name, "CHANNEL_NAMESPACES_")
	if !ok {
		return false
	}
	ns, option := l.namespace(inside, "_")
	if ns == nil {
		return false
	}
	for i := range l.cfg.Channel.Namespaces {
		other := &l.cfg.Channel.Namespaces[i]
		if other != ns && envName(other.Name) == envName(ns.Name) {
			l.problem(at.layer[len("env "):], at, "means both namespaces %s and %s", ns.Name, other.Name)
			return true
		}
	}
	path := "channel.namespaces." + ns.Name + "."
	if known, ok := envKeys["CHANNEL_WITHOUT_NAMESPACE_"+option]; ok {
		l.put(path+strings.TrimPrefix(known, "channel.without_namespace."), textValue(text), at)
		return true
	}
	return false
}

// envStem tells whether the variable belongs to keys that change nothing here.
func envStem(name string) bool {
	for _, list := range []string{"PROXIES_", "RPC_NAMESPACES_", "CONSUMERS_"} {
		if strings.HasPrefix(name, list) {
			return true // an element of a list; the list itself is what counts
		}
	}
	for stem := range foreignStems {
		if strings.HasPrefix(name, envName(stem)) {
			return true
		}
	}
	return false
}
