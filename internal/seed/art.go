package seed

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
)

// pictures are drawn when they are sent.
var pictures = map[string]func() []byte{"clock": clockFace, "chart": chart, "mountains": mountains, "cake": cake}

// paint makes a PNG of what each point of a picture looks like.
func paint(width, height int, at func(x, y float64) color.RGBA) []byte {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.SetRGBA(x, y, at(float64(x)+0.5, float64(y)+0.5))
		}
	}
	var b bytes.Buffer
	_ = png.Encode(&b, img) // into memory, of a picture with a size
	return b.Bytes()
}

func rgb(hex uint32) color.RGBA {
	return color.RGBA{R: uint8(hex >> 16), G: uint8(hex >> 8), B: uint8(hex), A: 255}
}

// mix is a, with part t (0 to 1) of b.
func mix(a, b color.RGBA, t float64) color.RGBA {
	t = max(0, min(1, t))
	m := func(x, y uint8) uint8 { return uint8(float64(x) + (float64(y)-float64(x))*t) }
	return color.RGBA{m(a.R, b.R), m(a.G, b.G), m(a.B, b.B), 255}
}

// inside is 1 where distance is negative and 0 where it is not, with a soft edge.
func inside(distance float64) float64 { return max(0, min(1, 0.5-distance)) }

var tones = []uint32{0xd9485f, 0xe8833a, 0xd8a51d, 0x5a9e4b, 0x2a9d8f, 0x3a86c8, 0x5661b3, 0x8e5bb5, 0xb5527e, 0x6b7a8f}

// portrait is the picture of the i-th person: no two are the same.
func portrait(i int) []byte {
	const size = 160
	back, front := rgb(tones[i%len(tones)]), rgb(tones[(i*3+4)%len(tones)])
	turn := float64(i) * 2.4
	return paint(size, size, func(x, y float64) color.RGBA {
		c := mix(back, rgb(0xffffff), 0.25*y/size)
		for k := range 3 {
			angle := turn + float64(k)*2*math.Pi/3
			cx, cy := size/2+34*math.Cos(angle), size/2+34*math.Sin(angle)
			c = mix(c, mix(front, rgb(0xffffff), 0.25*float64(k)), 0.85*inside(math.Hypot(x-cx, y-cy)-24-4*float64(k)))
		}
		return c
	})
}

// segment is how far a point is from a line of some width.
func segment(x, y, x1, y1, x2, y2, width float64) float64 {
	dx, dy := x2-x1, y2-y1
	t := max(0, min(1, ((x-x1)*dx+(y-y1)*dy)/(dx*dx+dy*dy)))
	return math.Hypot(x-x1-t*dx, y-y1-t*dy) - width/2
}

func clockFace() []byte {
	const size, c = 480, 240.0
	night, ivory, gold := rgb(0x1f2a44), rgb(0xfdf6e3), rgb(0xd8a51d)
	return paint(size, size, func(x, y float64) color.RGBA {
		p := mix(night, rgb(0x35507a), y/size)
		p = mix(p, gold, inside(math.Hypot(x-c, y-c)-196))
		p = mix(p, ivory, inside(math.Hypot(x-c, y-c)-180))
		for k := range 12 {
			s, o := math.Sincos(float64(k) * math.Pi / 6)
			p = mix(p, night, inside(segment(x, y, c+s*150, c-o*150, c+s*166, c-o*166, 10)))
		}
		p = mix(p, night, inside(segment(x, y, c, c, c-62, c-72, 18)))
		p = mix(p, night, inside(segment(x, y, c, c, c+70, c-112, 14)))
		return mix(p, gold, inside(math.Hypot(x-c, y-c)-16))
	})
}

func chart() []byte {
	const width, height = 720, 420
	bars := []float64{310, 285, 300, 262, 120, 58, 24}
	return paint(width, height, func(x, y float64) color.RGBA {
		p := rgb(0xffffff)
		if math.Mod(height-40-y, 60) < 1 && y < height-40 {
			p = rgb(0xe3e7ee)
		}
		for i, h := range bars {
			left := 50 + float64(i)*92
			tone := rgb(0xd9485f)
			if i >= 4 {
				tone = rgb(0x2a9d8f)
			}
			if x >= left && x < left+56 && y < height-40 && y > height-40-h {
				p = mix(tone, rgb(0xffffff), 0.3*(height-40-y)/h)
			}
		}
		if math.Abs(y-(height-40)) < 1.5 && x > 30 && x < width-30 {
			p = rgb(0x3c4656)
		}
		return p
	})
}

func mountains() []byte {
	const width, height = 900, 520
	ridge := func(x, base, rough, phase float64) float64 {
		return base - rough*(0.6*math.Sin(x/140+phase)+0.3*math.Sin(x/53+2*phase)+0.15*math.Sin(x/21+3*phase))
	}
	return paint(width, height, func(x, y float64) color.RGBA {
		p := mix(rgb(0x3b4a8c), rgb(0xffb56b), y/(height*0.62))
		p = mix(p, rgb(0xfff1c9), inside((math.Hypot(x-640, y-215)-54)/2))
		for i, layer := range []struct {
			base, rough, phase float64
			tone               uint32
		}{{270, 95, 0.4, 0x7a6a9c}, {345, 70, 2.1, 0x4f5686}, {420, 45, 4.2, 0x2c3a5e}} {
			top := ridge(x, layer.base, layer.rough, layer.phase)
			p = mix(p, rgb(layer.tone), inside(top-y))
			if snow := y - top; i == 0 && snow > 0 && snow < 26-0.16*top+14*math.Sin(x/9) {
				p = mix(p, rgb(0xffffff), 0.8)
			}
		}
		return p
	})
}

func cake() []byte {
	const width, height = 600, 460
	return paint(width, height, func(x, y float64) color.RGBA {
		p := mix(rgb(0xfce4d6), rgb(0xf6c7b6), y/height)
		p = mix(p, rgb(0xffffff), inside(math.Hypot((x-300)/2.6, y-395)-34))
		for i, tone := range []uint32{0x8a4b2a, 0xfff3e0, 0xb5527e} {
			top := 330 - float64(i)*62
			wave := 8 * math.Sin(x/18+float64(i))
			if half := 190 - float64(i)*36; math.Abs(x-300) < half && y < top+62 && y > top+wave {
				p = mix(rgb(tone), rgb(0x000000), 0.25*math.Abs(x-300)/half)
			}
		}
		for k := range 7 {
			cx := 204 + float64(k)*32
			p = mix(p, rgb(tones[(k*2)%len(tones)]), inside(segment(x, y, cx, 212, cx, 160, 8)))
			p = mix(p, rgb(0xffc531), inside(math.Hypot((x-cx)*1.6, y-144)-11))
		}
		return p
	})
}
