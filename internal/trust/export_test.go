package trust

import "errors"

// CheckIdentity reads what somebody wants to publish.
func CheckIdentity(username, displayName, key string) (i Identity, err error) {
	var errs [3]error
	i.Username, errs[0] = checkUsername(username)
	i.DisplayName, errs[1] = checkDisplayName(displayName)
	i.Key, errs[2] = parseKey(key)
	return i, errors.Join(errs[:]...)
}
