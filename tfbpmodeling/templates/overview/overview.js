// Tables sort by their headings and filter by a field. The controls are made here, so without script there are none.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells], rows = [...body.rows];
  const compare = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" }).compare;

  heads.forEach((th, k) => {
    const numeric = th.classList.contains("n"), button = document.createElement("button");
    button.type = "button";
    button.append(...th.childNodes);
    th.append(button);
    button.addEventListener("click", () => {
      const now = th.getAttribute("aria-sort");
      const order = now ? (now === "ascending" ? "descending" : "ascending") : numeric ? "descending" : "ascending";
      const keyed = rows.map((row) => ({ row, key: row.cells[k].dataset.v ?? (numeric ? "" : row.cells[k].textContent.trim()) }));
      const down = order === "descending" ? -1 : 1;
      keyed.sort((a, b) => (a.key === "") - (b.key === "") || down * (numeric ? a.key - b.key : compare(a.key, b.key)));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      th.setAttribute("aria-sort", order);
      body.append(...keyed.map((one) => one.row));
    });
  });

  const label = document.createElement("label"), field = document.createElement("input"), count = document.createElement("output");
  label.className = "filter";
  field.type = "search";
  field.placeholder = "a name, or part of one";
  count.setAttribute("aria-live", "polite");
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    const left = rows.filter((row) => !row.hidden).length;
    count.textContent = words.length ? `${left} of ${rows.length} rows` : "";
  });
  label.append("Show rows with ", field, " ", count);
  table.closest(".table").before(label);
}
