// Makes hashcash stamps in the page: an enhancement, the page works without it. Workers
// do the work, so that the page stays quick; nothing is sent until the form is.
"use strict";
{
  const miner = document.currentScript.dataset.miner;
  const MOST_WORKERS = 8;
  const SHOWN_EVERY = 500; // milliseconds: what is seen
  const SAID_EVERY = 30000; // and what a screen reader says

  const time = (ms) => {
    const s = Math.max(1, Math.round(ms / 1000));
    if (s < 90) return s === 1 ? "1 second" : `${s} seconds`;
    const minutes = Math.round(s / 60);
    if (minutes < 90) return `${minutes} minutes`;
    const hours = Math.round(minutes / 60);
    return hours < 48 ? `${hours} hours` : `${Math.round(hours / 24)} days`;
  };

  const set = (box) => {
    const { resource, name, before, after, into } = box.dataset;
    const button = box.querySelector("button");
    const bar = box.querySelector("progress");
    const shown = box.querySelector("[data-shown]");
    const said = box.querySelector("[role=status]");
    const choice = box.querySelector("select");
    const named = name && document.getElementById(name);
    const field = document.getElementById(into);
    const form = field.form;
    const make = button.textContent;
    let team = [];
    let made = "";
    let able = true;
    let send = false; // the form, when the stamp is made

    const say = (text) => {
      shown.textContent = said.textContent = text;
    };

    const stop = (text) => {
      for (const one of team) one.terminate();
      team = [];
      send = false;
      bar.hidden = true;
      button.textContent = make;
      say(text);
    };

    const finish = (stamp, took) => {
      const go = send;
      stop(`The stamp is made, in ${time(took)}.`);
      field.value = made = stamp;
      field.dispatchEvent(new Event("input", { bubbles: true }));
      if (go) form.requestSubmit();
    };

    // How far it is, to the eye often and to the ear seldom.
    const teller = (expected) => {
      const begun = performance.now();
      const tries = new Map();
      let seen = begun;
      let heard = 0;
      const tell = (worker, count) => {
        tries.set(worker, count);
        const now = performance.now();
        if (now - seen < SHOWN_EVERY) return;
        seen = now;
        const all = [...tries.values()].reduce((sum, one) => sum + one);
        const mean = time((expected * (now - begun)) / all);
        // The chance that it is found by now: luck has no memory, so it never fills.
        bar.value = 1 - Math.exp(-all / expected);
        shown.textContent = `${time(now - begun)} so far. On this machine it takes ${mean} on average; luck makes it less, or three times as much.`;
        if (heard && now - heard < SAID_EVERY) return;
        said.textContent = heard ? `Still at work, ${time(now - begun)} so far.` : `It takes ${mean} on average.`;
        heard = now;
      };
      return { tell, took: () => performance.now() - begun };
    };

    const start = () => {
      if (named && !named.reportValidity()) {
        say("First give the account its name: the stamp is made for it.");
        return;
      }
      const what = resource || before + named.value.trim() + after;
      const wanted = Number(choice ? choice.value : box.dataset.bits);
      const { tell, took } = teller(2 ** wanted);
      button.textContent = "Stop";
      bar.value = 0;
      bar.hidden = false;
      say("The stamp is being made.");
      const cores = (navigator.hardwareConcurrency || 2) - 1;
      for (let i = Math.min(Math.max(cores, 1), MOST_WORKERS); i > 0; i--) {
        const one = new Worker(miner);
        one.onmessage = ({ data }) => {
          if (!team.includes(one)) return; // it had spoken before it was stopped
          if (data.stamp) finish(data.stamp, took());
          else tell(one, data.tries);
        };
        one.onerror = () => {
          able = false;
          stop("This browser does not let the page work. Make the stamp with hashcash, as below.");
        };
        one.postMessage({ bits: wanted, resource: what });
        team.push(one);
      }
    };

    const forget = (text) => {
      if (team.length) stop(text);
      if (made && field.value === made) field.value = made = "";
    };

    button.addEventListener("click", () => {
      if (team.length) stop("Stopped.");
      else start();
    });
    // Who sends the form without a stamp gets one made, and then it is sent.
    field.required = false;
    form.addEventListener("submit", (event) => {
      if (field.value.trim() || !able) return;
      event.preventDefault();
      send = true;
      if (!team.length) start();
      box.scrollIntoView({ block: "nearest" });
    });
    choice?.addEventListener("change", () => forget("Stopped: another stamp was chosen."));
    named?.addEventListener("input", () => {
      forget("Stopped: the name was changed.");
      for (const one of document.querySelectorAll(`[data-is="${name}"]`)) one.textContent = named.value.trim() || "NAME";
    });
    box.hidden = false;
  };

  document.querySelectorAll("[data-mint]").forEach(set);
}
