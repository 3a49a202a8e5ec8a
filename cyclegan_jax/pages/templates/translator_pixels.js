"use strict";
// Pixels as cyclegan_jax has them: the same bicubic filter, padding and rounding.
const Pixels = {
  // Pillow's bicubic filter on 8 bits, with its integer arithmetic: RGBA [h, w] to [H, W].
  resize(image, width, height) {
    const down = height < image.height && height * image.width < width * image.height;
    if (down) image = Pixels.filter(image, image.width, height, false); // As Pillow 13 has it.
    image = Pixels.filter(image, width, image.height, true);
    return Pixels.filter(image, width, height, false);
  },

  filter(image, width, height, horizontal) {
    const size = horizontal ? image.width : image.height;
    const wanted = horizontal ? width : height;
    if (size === wanted) return image;
    const out = new ImageData(width, height);
    const step = horizontal ? 4 : 4 * image.width;
    const weigh = Pixels.weights(size, wanted);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const { first, weights } = weigh[horizontal ? x : y];
        const start = horizontal ? 4 * (y * image.width + first) : 4 * (first * image.width + x);
        for (let c = 0; c < 4; c++) {
          let sum = 1 << 21;
          for (let k = 0; k < weights.length; k++) sum += image.data[start + k * step + c] * weights[k];
          out.data[4 * (y * width + x) + c] = Math.floor(sum / (1 << 22)); // Clamped.
        }
      }
    }
    return out;
  },

  weights(size, wanted) {
    const scale = size / wanted, stretch = Math.max(scale, 1), support = 2 * stretch;
    return Array.from({ length: wanted }, (_, index) => {
      const center = (index + 0.5) * scale;
      const first = Math.max(Math.trunc(center - support + 0.5), 0);
      const end = Math.min(Math.trunc(center + support + 0.5), size);
      const exact = [];
      for (let i = first; i < end; i++) exact.push(Pixels.bicubic((i - center + 0.5) / stretch));
      const total = exact.reduce((a, b) => a + b);
      const weights = exact.map((w) => Math.trunc((w / total) * (1 << 22) + (w < 0 ? -0.5 : 0.5)));
      return { first, weights };
    });
  },

  bicubic(x) {
    x = Math.abs(x);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
  },

  // Where a line's pixel i is taken from, past its end by reflection.
  mirror(i, length) {
    if (length === 1) return 0;
    const at = i % (2 * length - 2);
    return at < length ? at : 2 * length - 2 - at;
  },

  // [1, H, W, channels] in [-1, 1], padded at the right and the bottom as the network needs.
  toValues(image, { channels: [channels], multiple, least }) {
    const [width, height] = [image.width, image.height].map((side) =>
      Math.max(Math.ceil(side / multiple) * multiple, least));
    const values = new Float32Array(width * height * channels);
    let out = 0;
    for (let y = 0; y < height; y++) {
      const row = Pixels.mirror(y, image.height) * image.width;
      for (let x = 0; x < width; x++) {
        const at = 4 * (row + Pixels.mirror(x, image.width));
        const [r, g, b] = image.data.subarray(at, at + 3);
        const pixel = channels === 1 ? [(r * 19595 + g * 38470 + b * 7471 + 32768) >> 16] : [r, g, b];
        for (const value of pixel) values[out++] = Math.fround(value / 127.5) - 1;
      }
    }
    return { values, shape: [1, height, width, channels] };
  },

  // The upper left of [1, h, w, channels] as RGBA [height, width].
  toImage(values, { channels: [, channels] }, wide, width, height) {
    const image = new ImageData(width, height);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const from = channels * (y * wide + x), to = 4 * (y * width + x);
        for (let c = 0; c < 3; c++) {
          const value = Math.fround(Math.fround(values[from + Math.min(c, channels - 1)] + 1) * 127.5);
          if (!Number.isFinite(value)) throw new Error("The network's output is not finite.");
          image.data[to + c] = value; // Rounded, halves to even, and clamped.
        }
        image.data[to + 3] = 255;
      }
    }
    return image;
  },
};
