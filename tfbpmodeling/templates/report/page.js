// Tables sort by their headings and are searched by a field; the sections' links say where the reader is. The controls are made here: without script there are none, and nothing is missing.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells], rows = [...body.rows];
  const compare = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" }).compare;
  const value = (cell) => (cell.dataset.v ?? cell.querySelector("[data-v]")?.dataset.v);

  heads.forEach((th, k) => {
    const numeric = rows.some((row) => value(row.cells[k]) !== undefined), button = document.createElement("button");
    button.type = "button";
    button.append(...th.childNodes);
    th.append(button);
    button.addEventListener("click", () => {
      const now = th.getAttribute("aria-sort");
      const order = now ? (now === "ascending" ? "descending" : "ascending") : numeric ? "descending" : "ascending";
      const keyed = rows.map((row) => ({ row, key: value(row.cells[k]) ?? (numeric ? "" : row.cells[k].textContent.trim()) }));
      const down = order === "descending" ? -1 : 1;
      keyed.sort((a, b) => (a.key === "") - (b.key === "") || down * (numeric ? a.key - b.key : compare(a.key, b.key)));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      th.setAttribute("aria-sort", order);
      body.append(...keyed.map((one) => one.row));
    });
  });
  if (!table.classList.contains("searched")) continue;

  const label = document.createElement("label"), field = document.createElement("input"), count = document.createElement("output");
  label.className = "find";
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

// What scrolls can be reached with the keyboard.
const reachable = () => {
  for (const box of document.querySelectorAll(".table, pre")) {
    if (box.hasAttribute("tabindex") || (box.scrollWidth <= box.clientWidth && box.scrollHeight <= box.clientHeight)) continue;
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", box.querySelector("caption")?.textContent || "Wide content, to scroll");
  }
};
addEventListener("resize", reachable);
addEventListener("toggle", reachable, true);
reachable();

for (const heading of document.querySelectorAll("h2, h3[id]")) {
  const id = heading.id || heading.closest(".prose[id]")?.id, anchor = document.createElement("a");
  if (!id) continue;
  anchor.className = "anchor";
  anchor.href = `#${id}`;
  anchor.textContent = "#";
  anchor.setAttribute("aria-label", `Link to ${heading.textContent}`);
  heading.append(anchor);
}

const nav = document.querySelector("nav");
if (nav) {
  const links = [...nav.querySelectorAll("a")], places = links.map((a) => document.getElementById(decodeURIComponent(a.hash.slice(1))));
  const follow = () => {
    const passed = places.findLastIndex((place) => place && place.getBoundingClientRect().top < nav.offsetHeight + 40);
    const here = scrollY > 0 && scrollY + innerHeight >= document.documentElement.scrollHeight - 2 ? links.length - 1 : passed;
    if (links[here]) nav.scrollLeft = links[here].offsetLeft - nav.offsetLeft - 24;
    links.forEach((a, i) => (i === here ? a.setAttribute("aria-current", "location") : a.removeAttribute("aria-current")));
  };
  nav.classList.add("follows");
  document.documentElement.style.scrollPaddingTop = `${nav.offsetHeight + 12}px`;
  addEventListener("scroll", follow, { passive: true });
  follow();
}
