package bench

import (
	"math"
	"slices"
	"time"
)

// percentile returns the value that p percent of the sample do not exceed (nearest
// rank), zero for an empty one. It sorts the sample.
func percentile(sample []time.Duration, p float64) time.Duration {
	if len(sample) == 0 {
		return 0
	}
	slices.Sort(sample)
	rank := int(math.Ceil(p / 100 * float64(len(sample))))
	return sample[min(max(rank, 1), len(sample))-1]
}

// median returns the middle value, the mean of the two middle ones of an even
// number, NaN of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
