// Gives the frames of Optgate's forms the height of what is in them, and light or dark as the page around them is. It
// takes a height from them and nothing else.
(() => {
  "use strict";
  const here = Symbol.for("optgate");
  const script = document.currentScript;
  const ours = script && script.src ? new URL(script.src).origin : null;
  const frames = () => [...document.querySelectorAll("iframe[data-optgate]")];
  // A frame that was there before us has told its height to nobody: a pixel more, and it tells it again.
  const nudge = () => frames().forEach((frame) => {
    if (!frame.style.height) frame.style.height = frame.offsetHeight + 1 + "px";
  });
  // A browser hands the frame's color-scheme to the form. A page that declares none is light, whatever its reader
  // prefers; else the frame has that of the page, by its style or by its meta element, which no style tells of.
  const tint = () => frames().forEach((frame) => {
    frame.style.colorScheme = "";
    const isTold = document.querySelector('meta[name="color-scheme" i]');
    if (!isTold && getComputedStyle(frame).colorScheme === "normal") frame.style.colorScheme = "light";
  });
  if (!window[here]) {
    window[here] = true;
    const watch = new MutationObserver(tint); // for pages with a switch
    for (const one of [document.documentElement, document.body]) if (one) watch.observe(one, { attributes: true });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tint);
    window.addEventListener("message", (event) => {
      const said = event.data;
      if (typeof said !== "object" || said === null || said.optgate !== 1) return;
      if (Object.keys(said).length !== 2 || !Number.isInteger(said.height)) return;
      if (said.height < 40 || said.height > 10000) return;
      if (ours !== null && event.origin !== ours) return;
      const frame = frames().find((one) => one.contentWindow === event.source);
      if (!frame || new URL(frame.src, document.baseURI).origin !== event.origin) return;
      tint(); // it may have come after the script
      const height = said.height + "px";
      if (frame.style.height !== height) frame.style.height = height;
    });
  }
  nudge();
  tint();
})();
