// Files of data: loaded by script tags, for file:// allows no other way; each hands over one string of JSON.
"use strict";

(() => {
  const waiting = new Map();
  const loaded = new Map();
  const kept = 48;

  report.receive = (name, text) => {
    const ask = waiting.get(name);
    waiting.delete(name);
    if (ask) ask.resolve(JSON.parse(text));
  };

  // Return what a file holds. Chunks of records that were not asked for lately are let go.
  report.load = (name) => {
    if (loaded.has(name)) {
      const found = loaded.get(name);
      loaded.delete(name);
      loaded.set(name, found);
      return found;
    }
    const found = new Promise((resolve, reject) => {
      waiting.set(name, { resolve, reject });
      const script = report.make("script", { src: `data/${name}.js` });
      script.addEventListener("load", () => script.remove());
      script.addEventListener("error", () => {
        script.remove();
        waiting.delete(name);
        loaded.delete(name);
        reject(new Error(`data/${name}.js is missing: this report is not complete; write it again`));
      });
      document.head.append(script);
    });
    loaded.set(name, found);
    if (loaded.size > kept) for (const old of [...loaded.keys()].filter((key) => key.startsWith("records/")).slice(0, -kept + 8)) loaded.delete(old);
    return found;
  };

  report.forget = (name) => loaded.delete(name);

  // A column of whole numbers, one a record.
  report.numbers = async (name) => {
    const bytes = Uint8Array.from(atob(await report.load(name)), (character) => character.charCodeAt(0));
    return new Uint32Array(bytes.buffer);
  };

  // Which split a record is of, by its number in the whole dataset, and its place there.
  report.locate = (number) => {
    const splits = report.summary.splits;
    let first = 0;
    for (let place = 0; place < splits.length; place++) {
      if (number < first + splits[place].records) return { place, within: number - first, split: splits[place].name };
      first += splits[place].records;
    }
    return null;
  };

  report.firstOf = (split) => {
    let first = 0;
    for (const each of report.summary.splits) {
      if (each.name === split) return first;
      first += each.records;
    }
    return 0;
  };

  report.total = () => report.summary.splits.reduce((sum, split) => sum + split.records, 0);

  report.chunkName = (number) => {
    const { place, within } = report.locate(number);
    return `records/${place}-${Math.floor(within / report.summary.chunk)}`;
  };

  report.record = async (number) => {
    const chunk = await report.load(report.chunkName(number));
    const { within } = report.locate(number);
    return { chunk, ...chunk.records[within % report.summary.chunk] };
  };

  // The number of a record by its id: ids are spread over files by 32-bit FNV-1a of their UTF-8.
  report.find = async (id) => {
    let hash = 0x811c9dc5;
    for (const byte of new TextEncoder().encode(id)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
    const ids = await report.load(`ids/${hash % 64}`);
    return Object.prototype.hasOwnProperty.call(ids, id) ? ids[id] : null;
  };

  // Where an image is: copied into the report, or beside the dataset's records.
  report.imageAddress = (image) => {
    const [path, , , , , , copied] = image;
    if (copied) return copied;
    return `${report.summary.images}/${path.split("/").map(encodeURIComponent).join("/")}`;
  };

  // Show a record's thumbnail as the background of an element.
  report.showThumbnail = (element, number) => {
    const { sprite, cell } = report.summary;
    const { place, within } = report.locate(number);
    const count = report.summary.splits[place].records;
    const first = Math.floor(within / sprite) * sprite;
    const rows = Math.ceil(Math.min(sprite, count - first) / 8);
    report.placeInSprite(element, `data/sprites/${place}-${Math.floor(within / sprite)}.webp`, within % sprite, rows, cell);
  };

  report.placeInSprite = (element, address, at, rows) => {
    const column = at % 8;
    const row = Math.floor(at / 8);
    Object.assign(element.style, {
      backgroundImage: `url("${address}")`,
      backgroundSize: `800% ${rows * 100}%`,
      backgroundPosition: `${(column / 7) * 100}% ${rows > 1 ? (row / (rows - 1)) * 100 : 0}%`,
    });
  };
})();
