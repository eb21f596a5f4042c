// Gives the frames of Optgate's forms the height of what is in them. It takes a height from them and nothing else.
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
  if (!window[here]) {
    window[here] = true;
    window.addEventListener("message", (event) => {
      const said = event.data;
      if (typeof said !== "object" || said === null || said.optgate !== 1) return;
      if (Object.keys(said).length !== 2 || !Number.isInteger(said.height)) return;
      if (said.height < 40 || said.height > 10000) return;
      if (ours !== null && event.origin !== ours) return;
      const frame = frames().find((one) => one.contentWindow === event.source);
      if (!frame || new URL(frame.src, document.baseURI).origin !== event.origin) return;
      const height = said.height + "px";
      if (frame.style.height !== height) frame.style.height = height;
    });
  }
  nudge();
})();
