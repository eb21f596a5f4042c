// Tells the page that shows this form how high it is: its height, to one of the form's own origins, and nothing else.
(() => {
  "use strict";
  if (parent === self) return;
  const allowed = document.getElementById("within").value.split(" ");
  const origin = (url) => { try { return new URL(url).origin; } catch { return null; } };
  const above = location.ancestorOrigins ? location.ancestorOrigins[0] : origin(document.referrer);
  // Where the browser does not say which of them it is, each is told; who is another gets nothing.
  const told = allowed.includes(above) ? [above] : allowed;
  const tell = () => {
    const height = Math.ceil(document.body.getBoundingClientRect().height);
    for (const one of told) parent.postMessage({ optgate: 1, height }, one);
  };
  new ResizeObserver(tell).observe(document.body);
  addEventListener("resize", tell);
  addEventListener("load", tell);
})();
