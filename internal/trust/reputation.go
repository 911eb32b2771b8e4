package trust

import "math"

// Levels of verification and of reputation (event-gateway.md §5.1).
const (
	Basic     = "basic"
	Poor      = "poor"
	Low       = "low"
	Medium    = "medium"
	High      = "high"
	Excellent = "excellent"
)

// weights are how much of the doubt about an identity a verification of each type takes
// away, if it is certain. The order is that of the computation.
var weights = []struct {
	typ    string
	weight float64
}{
	{Challenge, 0.35},
	{Email, 0.25},
	{Phone, 0.30},
	{Document, 0.50},
	{Social, 0.20},
	{Blockchain, 0.30},
}

const (
	// wordWeight is what the word of a member of full reputation takes away, mostWords what
	// the words of all together do: whoever makes many accounts gets no further.
	wordWeight = 0.15
	mostWords  = 0.40
	// leastWord is the confidence in the word of a member without reputation.
	leastWord = Whole / 4
)

// Evidence is what stands for an identity: of each type the most confident verification,
// and of [Member] the sum of the confidences.
type Evidence map[string]Share

// Score is the reputation, from 0 to 1: 1 − Π(1 − weight·confidence) over the types, where
// members together are one factor, 1 − min(0.4, 0.15·Σ confidence). It is rounded to four
// digits.
func (e Evidence) Score() Share {
	doubt := 1.0
	for _, w := range weights {
		doubt *= 1 - w.weight*e[w.typ].Float()
	}
	doubt *= 1 - min(mostWords, wordWeight*e[Member].Float())
	return Share(math.Round((1 - doubt) * float64(Whole)))
}

// Level is how well an identity is verified: by how many types of verifications.
func (e Evidence) Level() string {
	switch len(e) {
	case 0, 1:
		return Basic
	case 2:
		return Medium
	case 3:
		return High
	}
	return Excellent
}

// ReputationLevel is the word for a score.
func ReputationLevel(score Share) string {
	switch {
	case score < Whole*2/10:
		return Poor
	case score < Whole*4/10:
		return Low
	case score < Whole*6/10:
		return Medium
	case score < Whole*8/10:
		return High
	}
	return Excellent
}

// word is the confidence in what a member of a score says.
func word(score Share) Share { return leastWord + (Whole-leastWord)*score/Whole }
