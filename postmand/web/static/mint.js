// Makes hashcash stamps in the page: an enhancement, the page works without it.
// The work is done by workers, so the page stays quick; nothing is sent until the form is.
"use strict";
{
  const own = document.currentScript.src;
  const worker = document.querySelector("script[data-worker]")?.dataset.worker;
  const seconds = (ms) => {
    const s = Math.max(1, Math.round(ms / 1000));
    return s < 90 ? `${s} s` : `${Math.round(s / 60)} min`;
  };

  for (const box of document.querySelectorAll("[data-mint]")) {
    const button = box.querySelector("button");
    const bar = box.querySelector("progress");
    const status = box.querySelector("[role=status]");
    const choice = box.querySelector("select");
    const into = document.getElementById(box.dataset.into);
    let team = [];

    const stop = (text) => {
      team.forEach((one) => one.terminate());
      team = [];
      bar.hidden = true;
      button.textContent = "Make the stamp here";
      status.textContent = text;
    };

    const resource = () => {
      if (box.dataset.resource) return box.dataset.resource;
      const name = document.getElementById(box.dataset.name).value.trim();
      return name && box.dataset.before + name + box.dataset.after;
    };

    const start = () => {
      const what = resource();
      if (!what) {
        status.textContent = "Give the account its name first: the stamp is made for it.";
        return;
      }
      const bits = Number(choice ? choice.value : box.dataset.bits);
      const expected = 2 ** bits;
      const begun = performance.now();
      const tries = [];
      button.textContent = "Stop";
      bar.hidden = false;
      status.textContent = "Begun …";
      const cores = Math.max(1, Math.min(8, (navigator.hardwareConcurrency || 2) - 1));
      for (let i = 0; i < cores; i++) {
        const one = new Worker(worker || own);
        one.onmessage = ({ data }) => {
          if (data.stamp) {
            into.value = data.stamp;
            stop(`The stamp is made, in ${seconds(performance.now() - begun)}.`);
            into.dispatchEvent(new Event("input", { bubbles: true }));
            return;
          }
          tries[i] = data.tries;
          const all = tries.reduce((a, b) => a + (b || 0), 0);
          const rate = all / (performance.now() - begun);
          // The chance that it is found by now: luck has no memory, so it never fills.
          bar.value = 1 - Math.exp(-all / expected);
          status.textContent = `About ${seconds(expected / rate)} on the average on this machine; ${seconds(performance.now() - begun)} so far.`;
        };
        one.onerror = () => stop("This browser does not let the page work. Make the stamp with hashcash, as below.");
        team.push(one);
        one.postMessage({ bits, resource: what });
      }
    };

    button.addEventListener("click", () => (team.length ? stop("Stopped.") : start()));
    document.getElementById(box.dataset.name)?.addEventListener("input", () => {
      if (team.length) stop("The name was changed: make the stamp anew.");
      into.value = "";
    });
    box.hidden = false;
  }
}
