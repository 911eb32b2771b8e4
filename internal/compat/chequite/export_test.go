package chequite

// DecodeBody is what the endpoints read a body with.
func DecodeBody(contentType string, body []byte) (map[string]any, error) {
	return decodeBody(contentType, body)
}

// Number is a number of a body.
type Number = number
