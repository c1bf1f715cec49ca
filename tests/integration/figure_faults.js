// What keeps a report's figures from being read at this width: texts, a line each.
(least) => {
  const faults = [];
  const { scrollWidth } = document.documentElement;
  if (scrollWidth > innerWidth) faults.push(`the page is ${scrollWidth} px wide in ${innerWidth}`);
  const short = (e) => (e.getAttribute('aria-label') || e.textContent || e.alt).slice(0, 40);
  for (const figure of document.querySelectorAll('figure.plot')) {
    const drawn = [...figure.children].filter((e) => e.checkVisibility());
    if (drawn.length !== 1) faults.push(`${drawn.length} forms: ${short(figure)}`);
    for (const e of drawn) {
      const box = e.getBoundingClientRect();
      if (box.width < 100 || box.height < 60) faults.push(`too small: ${short(e)}`);
      if (box.left < 0 || box.right > innerWidth) faults.push(`sticks out: ${short(e)}`);
      for (let at = e.parentElement; at; at = at.parentElement) {
        if (at.scrollWidth > at.clientWidth) faults.push(`must be scrolled: ${short(e)}`);
      }
      for (const text of e.querySelectorAll('text')) {
        const to = text.getScreenCTM();
        const size = parseFloat(getComputedStyle(text).fontSize) * Math.hypot(to.a, to.b);
        if (size < least) faults.push(`${size.toFixed(1)} px: ${text.textContent}`);
      }
    }
  }
  return faults;
}
