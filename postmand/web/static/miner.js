// A worker: tries counters until the SHA-1 of the stamp begins with enough zero bits.
// SHA-1 over whole words, the blocks before the counter computed once.
"use strict";

const rounds = (h, w) => {
  let [a, b, c, d, e] = h;
  for (let i = 16; i < 80; i++) {
    const x = w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16];
    w[i] = (x << 1) | (x >>> 31);
  }
  let i = 0;
  for (; i < 20; i++) {
    const t = (((a << 5) | (a >>> 27)) + ((b & c) | (~b & d)) + e + w[i] + 0x5a827999) | 0;
    e = d; d = c; c = (b << 30) | (b >>> 2); b = a; a = t;
  }
  for (; i < 40; i++) {
    const t = (((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e + w[i] + 0x6ed9eba1) | 0;
    e = d; d = c; c = (b << 30) | (b >>> 2); b = a; a = t;
  }
  for (; i < 60; i++) {
    const t = (((a << 5) | (a >>> 27)) + ((b & c) | (b & d) | (c & d)) + e + w[i] + 0x8f1bbcdc) | 0;
    e = d; d = c; c = (b << 30) | (b >>> 2); b = a; a = t;
  }
  for (; i < 80; i++) {
    const t = (((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e + w[i] + 0xca62c1d6) | 0;
    e = d; d = c; c = (b << 30) | (b >>> 2); b = a; a = t;
  }
  return [(h[0] + a) | 0, (h[1] + b) | 0, (h[2] + c) | 0, (h[3] + d) | 0, (h[4] + e) | 0];
};

const START = [0x67452301, 0xefcdab89 | 0, 0x98badcfe | 0, 0x10325476, 0xc3d2e1f0 | 0];
const DIGITS = "0123456789abcdef";
const COUNTER = 12;

const words = (text, at, w) => {
  for (let i = 0; i < 16; i++) {
    const k = at + 4 * i;
    w[i] = (text[k] << 24) | (text[k + 1] << 16) | (text[k + 2] << 8) | text[k + 3];
  }
};

const today = () => new Date().toISOString().slice(2, 10).replaceAll("-", "");

const salt = () => {
  const octets = crypto.getRandomValues(new Uint8Array(12));
  return btoa(String.fromCharCode(...octets));
};

onmessage = ({ data: { bits, resource } }) => {
  let head = `1:${bits}:${today()}:${resource}::${salt()}:`;
  // The counter must not straddle two blocks: the salt is followed by as many more
  // letters as it takes.
  while (head.length % 64 > 64 - COUNTER - 9) head = head.slice(0, -1) + "A:";
  const text = new TextEncoder().encode(head);
  const whole = Math.floor(text.length / 64) * 64;
  const w = new Int32Array(80);
  let state = START;
  for (let at = 0; at < whole; at += 64) {
    words(text, at, w);
    state = rounds(state, w);
  }
  const block = new Uint8Array(64);
  block.set(text.subarray(whole));
  const at = text.length - whole;
  block[at + COUNTER] = 0x80;
  const length = (text.length + COUNTER) * 8;
  new DataView(block.buffer).setUint32(60, length);
  const zero = DIGITS.charCodeAt(0);
  block.fill(zero, at, at + COUNTER);
  for (let tries = 1; ; tries++) {
    for (let i = at + COUNTER - 1; ; i--) {
      const digit = DIGITS.indexOf(String.fromCharCode(block[i])) + 1;
      block[i] = DIGITS.charCodeAt(digit % 16);
      if (digit < 16) break;
    }
    words(block, 0, w);
    const h = rounds(state, w);
    const first = Math.clz32(h[0]);
    if ((first < 32 ? first : 32 + Math.clz32(h[1])) >= bits) {
      const counter = String.fromCharCode(...block.subarray(at, at + COUNTER));
      postMessage({ stamp: head + counter });
      return;
    }
    if (tries % 262144 === 0) postMessage({ tries });
  }
};
