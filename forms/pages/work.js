// Does the browser's part while its reader fills in the form: keys are derived until one begins as the challenge says.
(() => {
  "use strict";
  const field = document.querySelector("input[data-challenge]");
  const { form } = field;
  const status = document.getElementById("working");
  const { parameters, signature } = JSON.parse(field.dataset.challenge);
  const bytes = (hex) => Uint8Array.from(hex.match(/../g) || [], (pair) => parseInt(pair, 16));
  const hex = (buffer) => Array.from(new Uint8Array(buffer), (one) => one.toString(16).padStart(2, "0")).join("");
  const nonce = bytes(parameters.nonce);
  const rounds = { name: "PBKDF2", hash: "SHA-256", salt: bytes(parameters.salt), iterations: parameters.cost };
  document.getElementById("needs-script").remove();
  let next = 0, found = null, pressed = null, told = -1;

  const derive = async (counter) => {
    const password = new Uint8Array(nonce.length + 4);
    password.set(nonce);
    new DataView(password.buffer).setUint32(nonce.length, counter);
    const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
    return hex(await crypto.subtle.deriveBits(rounds, key, parameters.keyLength * 8));
  };
  // Said only to who waits for it, in quarters: a screen reader reads each.
  const tell = () => {
    const quarter = Math.min(3, Math.floor((4 * next) / field.dataset.most)) * 25;
    if (!pressed || quarter === told) return;
    told = quarter;
    status.textContent = status.dataset.wait + " " + quarter + " %";
  };
  const lane = async () => {
    while (found === null) {
      const counter = next++;
      const derivedKey = await derive(counter);
      if (derivedKey.startsWith(parameters.keyPrefix)) found = { counter, derivedKey };
      tell();
    }
  };
  const work = async () => {
    // The browser derives beside the page's own thread; one processor is left to its owner.
    const lanes = Math.max(1, Math.min(4, (navigator.hardwareConcurrency || 2) - 1));
    await Promise.all(Array.from({ length: lanes }, lane));
    field.value = btoa(JSON.stringify({ challenge: { parameters, signature }, solution: found }));
    if (!pressed) return;
    status.textContent = status.dataset.wait + " 100 %";
    form.requestSubmit(pressed); // as its reader wished
  };

  if (!globalThis.crypto?.subtle) { // which a page has over https alone
    status.textContent = status.dataset.cannot;
    return;
  }
  form.addEventListener("submit", (event) => {
    if (field.value) return;
    event.preventDefault();
    pressed = event.submitter;
    tell();
  });
  work();
})();
