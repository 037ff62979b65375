// The network in the page: its pictures as Python prepares them, its runtime, its answers.
aw.network ??= (() => {
  const {make} = aw;
  const about = JSON.parse(document.querySelector("meta[name=allm-network]")?.content ?? "null");
  const folder = `${document.documentElement.dataset.content_root}_static/network/`;
  const models = {}, loaded = new Set();
  let started;  // the runtime, a promise
  let queue = Promise.resolve(), turn = queue;  // one load, and one question, at a time

  function bytesOf(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);  // a hundred times as fast
    const letters = atob(text), bytes = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
    return bytes;
  }

  const left = name => ["litert", "wasm", name].filter(part => !loaded.has(part));
  const size = name => left(name).reduce((sum, part) => sum + about[part][1], 0);

  function script(file) {
    return new Promise((resolve, reject) => document.head.append(make("script", {
      src: folder + file,
      onload() { this.remove(); resolve(); },
      onerror() { this.remove(); reject(Error(`${file} did not load; reload the page and ask again`)); },
    })));
  }

  async function unpacked(name) {
    const keys = [...Array(about[name][0]).keys()].map(number => `${name}-${number}`);
    const zipped = new Blob([bytesOf(keys.map(key => awParts[key]).join(""))]);
    for (const key of keys) delete awParts[key];
    const stream = zipped.stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  async function bring(name, progress) {
    if (models[name]) return;
    const total = size(name);
    let done = 0;
    const brought = part => {
      const [parts, bytes] = about[part];
      const files = part === "litert" ? ["litert.js"] : [...Array(parts).keys()].map(n => `${part}-${n}.js`);
      return Promise.all(files.map(file => script(file).then(() => progress((done += bytes / parts) / total))));
    };
    started ??= Promise.all([brought("wasm").then(() => unpacked("wasm")), brought("litert")]).then(([wasmBinary]) => {
      self.Module = {wasmBinary, print() {}, printErr() {}};  // it reports every step
      return LiteRT.loadLiteRt("data:text/javascript,#.js");  // its script is here already
    }).then(() => { loaded.add("litert").add("wasm"); });
    started.catch(() => { started = undefined; });
    const [model] = await Promise.all([brought(name).then(() => unpacked(name)), started]);
    models[name] = await LiteRT.loadAndCompile(model, {accelerator: "wasm"});
    loaded.add(name);
  }

  // Two widgets of a page may ask for it at once.
  function load(name, progress) {
    const one = queue.then(() => bring(name, progress));
    queue = one.catch(() => {});
    return one;
  }

  async function run(name, pixels) {
    const side = Math.sqrt(pixels.length / 3);
    const input = new LiteRT.Tensor(pixels, [1, side, side, 3]), start = performance.now();
    const outputs = await models[name].run([input]);
    const arrays = await Promise.all(outputs.map(output => output.data()));
    const ms = performance.now() - start;
    const [p, map] = arrays.sort((a, b) => a.length - b.length).map(array => Float32Array.from(array));
    for (const tensor of [input, ...outputs]) tensor.delete();
    return {p: p[1], map, ms};
  }

  // Probability of ALL, the evidence of each field, and the time; of uint8 pixels, RGB.
  function ask(name, pixels) {
    const answer = turn.then(() => run(name, pixels));
    turn = answer.catch(() => {}).then(() => new Promise(next => setTimeout(next)));  // lets the page draw
    return answer;
  }

  // Pixels of a file that holds what the network knows; an error says in words why not.
  async function decode(blob, name) {
    const refuse = words => { throw Error(`${name}: ${words}`); };
    const head = new DataView(await blob.slice(0, 30).arrayBuffer().then(b => b.byteLength < 30 ? new ArrayBuffer(30) : b));
    const magic = head.getUint32(0);
    const png = magic === 0x89504e47, bmp = head.getUint16(0) === 0x424d;
    if (!png && !bmp && magic >>> 8 !== 0xffd8ff && head.getUint32(8) !== 0x57454250)
      refuse("not a BMP, PNG, JPEG or WebP picture");
    if (png && head.getUint16(24) !== 0x0802 || bmp && head.getUint16(28, true) !== 24)
      refuse("not 8-bit RGB, the only kind that the network knows");
    const bitmap = await createImageBitmap(blob, {colorSpaceConversion: "none", premultiplyAlpha: "none"})
      .catch(() => refuse("broken, it cannot be decoded"));
    const {width, height} = bitmap;
    if (width * height > 2 ** 24) refuse("too large for one cell, more than 16 million pixels");
    const context = make("canvas", {width, height}).getContext("2d", {willReadFrequently: true});
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    const {data} = context.getImageData(0, 0, width, height);
    let grey = true;
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3] < 255) refuse("partly transparent; the network knows opaque pictures only");
      grey &&= data[i] === data[i + 1] && data[i] === data[i + 2];
    }
    if (grey) refuse("a grey picture; the network needs the colours of the stain");
    return {data, width, height};
  }

  const decoded = (base64, name) => decode(new Blob([bytesOf(base64)]), name);

  // For each place of a resized line: where its window begins, and whole-number weights. As Pillow.
  function windows(length, start, crop, size) {
    const scale = crop / size, reach = Math.max(scale, 1);
    return [...Array(size).keys()].map(place => {
      const centre = start + (place + 0.5) * scale;
      const first = Math.max(0, Math.trunc(centre - reach + 0.5));
      const last = Math.min(length, Math.trunc(centre + reach + 0.5));
      const weights = [];
      for (let i = first; i < last; i++)
        weights.push(Math.max(0, 1 - Math.abs((i - centre + 0.5) / reach)));
      const sum = weights.reduce((a, b) => a + b);
      return [first, weights.map(weight => Math.round(weight / sum * 2 ** 22))];
    });
  }

  // A square of the picture, resized: the very bytes of `images.prepare`.
  function prepared({data, width, height}, left, top, crop, size) {
    if (Math.min(width, height) < crop)
      throw Error(`${width} × ${height} pixels, smaller than the crop of ${crop}; give the original picture`);
    const across = windows(width, left, crop, size), down = windows(height, top, crop, size);
    const half = 2 ** 21, from = down[0][0], to = down[size - 1][0] + down[size - 1][1].length;
    const lines = new Uint8Array((to - from) * size * 3), out = new Uint8Array(size * size * 3);
    for (let y = from; y < to; y++) for (let x = 0; x < size; x++) for (let c = 0; c < 3; c++) {
      const [first, weights] = across[x];
      let sum = half;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * data[(y * width + first + i) * 4 + c];
      lines[((y - from) * size + x) * 3 + c] = sum >> 22;
    }
    for (let y = 0; y < size; y++) for (let x = 0; x < 3 * size; x++) {
      const [first, weights] = down[y];
      let sum = half;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * lines[(first - from + i) * size * 3 + x];
      out[y * size * 3 + x] = sum >> 22;
    }
    return out;
  }

  const rgb = ({data}) => Uint8Array.from({length: data.length * 3 / 4}, (_, i) => data[i + Math.floor(i / 3)]);

  function black(pixels) {
    let count = 0;
    for (let i = 0; i < pixels.length; i += 3) count += !(pixels[i] || pixels[i + 1] || pixels[i + 2]);
    return 3 * count / pixels.length;
  }

  // The button that asks; `answer` is called when the network is there.
  function button(words, name, answer) {
    const bar = make("progress", {hidden: true, max: 1, ariaLabel: "loading the network"});
    const line = make("p", {role: "alert"});
    const label = () => about && size(name()) ? `${words} (${Math.ceil(size(name()) / 1e6)} MB)` : words;
    const press = make("button", {type: "button", textContent: label()});
    const note = about ? "It answers on your machine; nothing leaves the page."
      : "This copy of the page carries no network, for it was made without npm: the answers are those that Python gave then.";
    press.onclick = async () => {
      press.disabled = true;
      line.textContent = "";
      try {
        if (about) {
          bar.hidden = !size(name());
          await load(name(), share => { bar.value = share; });
        }
        await answer();
      } catch (error) {
        line.textContent = error.message;
      }
      bar.hidden = true;
      press.disabled = false;
      press.textContent = label();
    };
    const small = make("span", {className: "aw-small"}, make("strong", {textContent: "Education, not diagnosis."}), ` ${note}`);
    return {press, renew: () => { press.textContent = label(); }, box: make("div", {className: "aw-ask"}, press, bar, small, line)};
  }

  // Of cells as the widgets hold them: live, or as they were when the page was made.
  async function answers(name, cells) {
    if (!about) return cells.map(cell => cell.p_all);
    const said = [];
    for (const cell of cells) said.push((await ask(name, rgb(await decoded(cell.picture, "cell")))).p);
    return said;
  }

  return {about, answers, ask, black, button, decode, decoded, load, loaded, prepared, size};
})();
