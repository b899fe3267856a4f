// Search: values by name and by what made them, groups by their path.

const MOST_FOUND = 40;

/** The items that a query finds, names that begin with it before others. */
function find(query) {
  const wanted = query.trim().toLowerCase();
  if (!wanted) return [];
  const items = [...values.keys()].map(idOf).concat([...groups.keys()].slice(1).map((i) => `g${i}`));
  const found = [];
  for (const item of items) {
    const name = (isGroup(item) ? called(item) : valueOf(item).name).toLowerCase();
    const place = name.indexOf(wanted);
    const inOperation =
      !isGroup(item) &&
      valueOf(item).maker !== undefined &&
      capText(valueOf(item)).toLowerCase().includes(wanted);
    if (place >= 0 || inOperation)
      found.push({ item, rank: name === wanted ? 0 : place === 0 ? 1 : place > 0 ? 2 : 3 });
  }
  return found.sort((a, b) => a.rank - b.rank).map(({ item }) => item);
}

function about(item) {
  if (isGroup(item)) return plural(contentOf(item).steps, "operation");
  const value = valueOf(item);
  const what = value.maker === undefined ? value.kind : value.name ? capText(value) : "";
  return [what, shapeText(value.shape)].filter(Boolean).join(" · ");
}

function listenToSearch() {
  const [query, list] = [byId("query"), byId("found")];
  let chosen = 0;
  const choose = (i) => {
    const options = [...list.querySelectorAll("[data-item]")];
    chosen = clamp(i, 0, options.length - 1);
    options.forEach((option, at) => option.setAttribute("aria-selected", at === chosen));
    options[chosen]?.scrollIntoView({ block: "nearest" });
    query.setAttribute("aria-activedescendant", options[chosen]?.id ?? "");
  };
  const close = () => {
    list.hidden = true;
    query.setAttribute("aria-expanded", "false");
  };
  const take = (item) => {
    close();
    query.value = "";
    goTo(item);
    elements.get(item).focus({ preventScroll: true });
    say(`Found ${called(item)}.`);
  };
  query.addEventListener("input", () => {
    const found = find(query.value);
    const options = found.slice(0, MOST_FOUND).map((item) =>
      html(
        "li",
        {
          role: "option",
          id: `found-${item}`,
          "data-item": item,
          onpointerdown: (event) => {
            event.preventDefault();
            take(item);
          },
        },
        html("span", {}, called(item)),
        html("span", {}, about(item)),
      ),
    );
    const rest =
      found.length > MOST_FOUND
        ? [
            html(
              "li",
              {},
              html("span"),
              html("span", {}, `and ${(found.length - MOST_FOUND).toLocaleString("en")} more`),
            ),
          ]
        : [];
    list.replaceChildren(
      ...(found.length
        ? [...options, ...rest]
        : [html("li", {}, html("span", {}, "Nothing has that name."))]),
    );
    list.hidden = !query.value.trim();
    query.setAttribute("aria-expanded", String(!list.hidden));
    choose(0);
  });
  query.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen - 1);
    else if (event.key === "Enter") {
      const option = list.hidden ? null : list.querySelectorAll("[data-item]")[chosen];
      if (option) take(option.dataset.item);
    } else if (event.key === "Escape") {
      close();
      query.blur();
    } else return;
    event.preventDefault();
  });
  query.addEventListener("blur", close);
}
