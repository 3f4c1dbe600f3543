for (const board of document.querySelectorAll(".board")) {
  const body = board.querySelector("tbody"), heads = [...board.querySelectorAll("thead th")];
  const selects = [...board.querySelectorAll("select")], rows = [...body.rows];
  const facets = new Map(rows.map((row) => [row, JSON.parse(row.dataset.facets)]));
  const matches = (row, upTo) => selects.slice(0, upTo).every((s, i) => facets.get(row)[i] === s.value);
  const choose = () => {
    selects.forEach((select, i) => {
      const there = new Set(rows.filter((row) => matches(row, i)).map((row) => facets.get(row)[i]));
      for (const option of select.options) option.hidden = option.disabled = !there.has(option.text);
      if (!there.has(select.value)) select.value = [...there][0];
    });
    for (const row of rows) row.hidden = !matches(row, selects.length);
  };
  const key = (row, place) => {
    const cell = row.cells[place], value = cell.dataset.value;
    return value === undefined ? cell.textContent : value === "" ? -Infinity : Number(value);
  };
  heads.forEach((head, place) => head.querySelector("button").addEventListener("click", () => {
    const down = place > 0 ? head.ariaSort !== "descending" : head.ariaSort === "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const order = (a, b) => (key(a, place) > key(b, place) ? 1 : key(a, place) < key(b, place) ? -1 : 0);
    rows.sort((a, b) => (down ? order(b, a) : order(a, b)));
    body.append(...rows);
  }));
  for (const select of selects) select.addEventListener("change", choose);
  choose();
}
