package files

import (
	"image"
	"image/color"

	"golang.org/x/image/draw"
)

// fit returns the sides of an image within a square of side, never enlarged, never zero.
func fit(w, h, side int) (int, int) {
	if w <= side && h <= side {
		return w, h
	}
	if w >= h {
		return side, max(1, h*side/w)
	}
	return max(1, w*side/h), side
}

// shrink scales a part of an image. Of a large one every so-many-th pixel is looked at
// first, sixteen for each that is left: the smooth scaler keeps whole columns in memory.
func shrink(img image.Image, part image.Rectangle, w, h int) *image.RGBA {
	const dense = 4
	if part.Dx() > dense*w || part.Dy() > dense*h {
		rough := image.NewRGBA(image.Rect(0, 0, min(part.Dx(), dense*w), min(part.Dy(), dense*h)))
		draw.NearestNeighbor.Scale(rough, rough.Bounds(), img, part, draw.Src, nil)
		img, part = rough, rough.Bounds()
	}
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.CatmullRom.Scale(out, out.Bounds(), img, part, draw.Src, nil)
	return out
}

func onWhite(img *image.RGBA) *image.RGBA {
	out := image.NewRGBA(img.Bounds())
	draw.Draw(out, out.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.Draw(out, out.Bounds(), img, img.Bounds().Min, draw.Over)
	return out
}

// upright turns an image as an Exif orientation of 1 to 8 says it is to be shown.
// Pixels keep their type, so a photograph stays in planes and needs no more memory
// than it had.
func upright(img image.Image, orientation int) image.Image {
	if orientation <= 1 || orientation > 8 {
		return img
	}
	turn := turning{orientation, img.Bounds().Dx(), img.Bounds().Dy()}
	r := turn.bounds()
	switch m := img.(type) {
	case *image.YCbCr:
		if out := turn.planes(m); out != nil {
			return out
		}
	case *image.NYCbCrA:
		if out := turn.planes(&m.YCbCr); out != nil {
			return &image.NYCbCrA{YCbCr: *out, A: turn.pixels(m.A[m.AOffset(m.Rect.Min.X, m.Rect.Min.Y):], m.AStride, 1), AStride: r.Dx()}
		}
	case *image.Gray:
		return &image.Gray{Pix: turn.pixels(m.Pix, m.Stride, 1), Stride: r.Dx(), Rect: r}
	case *image.Gray16:
		return &image.Gray16{Pix: turn.pixels(m.Pix, m.Stride, 2), Stride: 2 * r.Dx(), Rect: r}
	case *image.Paletted:
		return &image.Paletted{Pix: turn.pixels(m.Pix, m.Stride, 1), Stride: r.Dx(), Rect: r, Palette: m.Palette}
	case *image.RGBA:
		return &image.RGBA{Pix: turn.pixels(m.Pix, m.Stride, 4), Stride: 4 * r.Dx(), Rect: r}
	case *image.NRGBA:
		return &image.NRGBA{Pix: turn.pixels(m.Pix, m.Stride, 4), Stride: 4 * r.Dx(), Rect: r}
	case *image.CMYK:
		return &image.CMYK{Pix: turn.pixels(m.Pix, m.Stride, 4), Stride: 4 * r.Dx(), Rect: r}
	case *image.RGBA64:
		return &image.RGBA64{Pix: turn.pixels(m.Pix, m.Stride, 8), Stride: 8 * r.Dx(), Rect: r}
	case *image.NRGBA64:
		return &image.NRGBA64{Pix: turn.pixels(m.Pix, m.Stride, 8), Stride: 8 * r.Dx(), Rect: r}
	}
	flat := image.NewNRGBA(image.Rect(0, 0, turn.w, turn.h))
	draw.Draw(flat, flat.Bounds(), img, img.Bounds().Min, draw.Src)
	return upright(flat, orientation)
}

// turning is an Exif orientation applied to a rectangle of w by h.
type turning struct{ orientation, w, h int }

// swaps tells whether width and height change places.
func (t turning) swaps() bool { return t.orientation >= 5 }

func (t turning) bounds() image.Rectangle {
	if t.swaps() {
		return image.Rect(0, 0, t.h, t.w)
	}
	return image.Rect(0, 0, t.w, t.h)
}

// from returns which pixel of the original is shown at x, y (Exif 2.32, tag Orientation).
func (t turning) from(x, y int) (int, int) {
	switch t.orientation {
	case 2:
		return t.w - 1 - x, y
	case 3:
		return t.w - 1 - x, t.h - 1 - y
	case 4:
		return x, t.h - 1 - y
	case 5:
		return y, x
	case 6:
		return y, t.h - 1 - x
	case 7:
		return t.w - 1 - y, t.h - 1 - x
	case 8:
		return t.w - 1 - y, x
	}
	return x, y
}

// pixels turns rows of pixels of size bytes each; the result has no gaps between rows.
func (t turning) pixels(pix []byte, stride, size int) []byte {
	r := t.bounds()
	out := make([]byte, r.Dx()*r.Dy()*size)
	i := 0
	for y := range r.Dy() {
		for x := range r.Dx() {
			sx, sy := t.from(x, y)
			if size == 1 {
				out[i] = pix[sy*stride+sx]
			} else {
				copy(out[i:i+size], pix[sy*stride+sx*size:])
			}
			i += size
		}
	}
	return out
}

// turned are the ways colour can be thinned out, and what they are lying on their side.
var turned = map[image.YCbCrSubsampleRatio]image.YCbCrSubsampleRatio{
	image.YCbCrSubsampleRatio444: image.YCbCrSubsampleRatio444,
	image.YCbCrSubsampleRatio420: image.YCbCrSubsampleRatio420,
	image.YCbCrSubsampleRatio422: image.YCbCrSubsampleRatio440,
	image.YCbCrSubsampleRatio440: image.YCbCrSubsampleRatio422,
}

// planes turns brightness and colour by themselves, or returns nil if the colour is
// thinned out in a way that has no name lying on its side.
func (t turning) planes(m *image.YCbCr) *image.YCbCr {
	ratio := m.SubsampleRatio
	if t.swaps() {
		var ok bool
		if ratio, ok = turned[ratio]; !ok {
			return nil
		}
	}
	x, y := m.Rect.Min.X, m.Rect.Min.Y
	thin := turning{t.orientation, 0, 0}
	across := image.NewYCbCr(image.Rect(0, 0, t.w, 1), m.SubsampleRatio)
	down := image.NewYCbCr(image.Rect(0, 0, 1, t.h), m.SubsampleRatio)
	thin.w, thin.h = across.CStride, len(down.Cb)/down.CStride
	colour := m.COffset(x, y)
	return &image.YCbCr{
		Y: t.pixels(m.Y[m.YOffset(x, y):], m.YStride, 1), YStride: t.bounds().Dx(),
		Cb: thin.pixels(m.Cb[colour:], m.CStride, 1), Cr: thin.pixels(m.Cr[colour:], m.CStride, 1), CStride: thin.bounds().Dx(),
		SubsampleRatio: ratio, Rect: t.bounds(),
	}
}
