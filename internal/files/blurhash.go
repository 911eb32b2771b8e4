package files

import (
	"image"
	"math"
	"strings"
)

// digits write numbers in base 83, the first of them worth 0.
const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"

// blurhash describes an image in some thirty characters: the first waves of its cosine
// transform, four by three of them, or three by four if it stands upright
// (Blurhash algorithm, version 1).
func blurhash(img *image.RGBA) string {
	nx, ny := 4, 3
	if img.Rect.Dy() > img.Rect.Dx() {
		nx, ny = ny, nx
	}
	w, h := fit(img.Rect.Dx(), img.Rect.Dy(), 32)
	waves := transform(shrink(img, img.Bounds(), w, h), nx, ny)

	var out strings.Builder
	number(&out, (nx-1)+(ny-1)*9, 1)
	strongest := 0.0
	for _, wave := range waves[1:] {
		strongest = max(strongest, math.Abs(wave[0]), math.Abs(wave[1]), math.Abs(wave[2]))
	}
	scale := int(max(0, min(82, math.Floor(strongest*166-0.5))))
	number(&out, scale, 1)
	mean := waves[0]
	number(&out, gamma(mean[0])<<16|gamma(mean[1])<<8|gamma(mean[2]), 4)
	for _, wave := range waves[1:] {
		code := 0
		for _, v := range wave {
			// The square root keeps more steps for what is faint.
			v /= float64(scale+1) / 166
			root := math.Copysign(math.Sqrt(math.Abs(v)), v)
			code = code*19 + int(max(0, min(18, math.Floor(root*9+9.5))))
		}
		number(&out, code, 2)
	}
	return out.String()
}

// transform returns nx by ny waves of each colour, in linear light.
func transform(img *image.RGBA, nx, ny int) [][3]float64 {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	light := make([][3]float64, w*h)
	for i := range light {
		for c := range 3 {
			light[i][c] = linear(img.Pix[i*4+c])
		}
	}
	waves := make([][3]float64, 0, nx*ny)
	for j := range ny {
		for i := range nx {
			var sum [3]float64
			for y := range h {
				for x := range w {
					basis := math.Cos(math.Pi*float64(i*x)/float64(w)) * math.Cos(math.Pi*float64(j*y)/float64(h))
					for c := range 3 {
						sum[c] += basis * light[y*w+x][c]
					}
				}
			}
			norm := 2.0
			if i == 0 && j == 0 {
				norm = 1
			}
			for c := range 3 {
				sum[c] *= norm / float64(w*h)
			}
			waves = append(waves, sum)
		}
	}
	return waves
}

// linear and gamma are the transfer functions of sRGB (IEC 61966-2-1).
func linear(v byte) float64 {
	f := float64(v) / 255
	if f <= 0.04045 {
		return f / 12.92
	}
	return math.Pow((f+0.055)/1.055, 2.4)
}

func gamma(f float64) int {
	f = max(0, min(1, f))
	if f <= 0.0031308 {
		return int(f*12.92*255 + 0.5)
	}
	return int((1.055*math.Pow(f, 1/2.4)-0.055)*255 + 0.5)
}

// number writes v in base 83 with n digits.
func number(out *strings.Builder, v, n int) {
	var b [4]byte
	for i := n - 1; i >= 0; i-- {
		b[i] = digits[v%83]
		v /= 83
	}
	out.Write(b[:n])
}
