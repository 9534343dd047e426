"use strict";
// Tables of the class "sortable": a click on a column's title sorts by it, a second one reverses.
function compare(a, b) {
  const [x, y] = [Number(a), Number(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
}
for (const table of document.querySelectorAll("table.sortable")) {
  const titles = Array.from(table.tHead.rows[0].cells);
  titles.forEach((title, column) => title.querySelector("button").addEventListener("click", () => {
    const down = title.getAttribute("aria-sort") === "ascending";
    const key = (row) => row.cells[column].dataset.key;
    const rows = Array.from(table.tBodies[0].rows).sort((a, b) => compare(key(a), key(b)));
    table.tBodies[0].append(...(down ? rows.reverse() : rows));
    titles.forEach((each) => each.removeAttribute("aria-sort"));
    title.setAttribute("aria-sort", down ? "descending" : "ascending");
  }));
}
