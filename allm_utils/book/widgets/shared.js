// What the widgets share. A page may hold several of them; the first one brings it.
self.aw ??= {
  make(name, attributes = {}, ...inside) {
    const node = Object.assign(document.createElement(name), attributes);
    node.append(...inside);
    return node;
  },

  address: base64 => `data:image/webp;base64,${base64}`,

  clip: x => Math.min(255, Math.max(0, Math.round(x))),
  normal: () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()),

  // Radio buttons of these names; `chosen` gets the number of the one that is taken.
  choices(fieldset, group, names, chosen) {
    fieldset.append(...names.map((name, number) => aw.make("label", {className: "aw-option"},
      aw.make("input", {type: "radio", name: group, checked: number === 0,
        onchange: () => chosen(number)}), name)));
  },

  // A confusion matrix: what it was in rows, what was said in columns.
  confusion(caption, labels, said) {
    const {make} = aw, names = ["HEM", "ALL"];
    const count = (was, is) => labels.filter((label, i) => label === was && said[i] === is).length;
    const head = (text, scope) => make("th", {textContent: text, scope});
    const rows = names.map((name, was) => make("tr", {}, head(`is ${name}`, "row"),
      ...names.map((_, is) => make("td", {textContent: count(was, is), className: was === is ? "aw-right" : ""}))));
    return make("table", {}, make("caption", {textContent: caption}),
      make("thead", {}, make("tr", {}, make("td"), ...names.map(name => head(`said ${name}`, "col")))),
      make("tbody", {}, ...rows));
  },
};
