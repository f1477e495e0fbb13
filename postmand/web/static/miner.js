// A worker that makes a hashcash stamp, version 1: told { bits, resource }, it tries
// counters until the SHA-1 of the stamp begins with so many zero bits, says now and then
// how many it has tried ({ tries }), and at last the stamp ({ stamp }).
"use strict";

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const START = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
const BLOCK = 64;
const COUNTER = 8; // letters: two words of a block, no more trials than 2 ** 48
const TAIL = COUNTER + 1 + 8; // and the bit and the length that end the last block
const SALT = 16;
const TOLD_EVERY = 250; // milliseconds

// Two letters each as the half of a word, for all the pairs.
const PAIRS = Int32Array.from(
  { length: 4096 },
  (_, i) => (LETTERS.charCodeAt(i >> 6) << 8) | LETTERS.charCodeAt(i & 63),
);

// The hash `from` of all blocks before, and the block `w`, to the hash `to`; returns
// its first word.
const compress = (from, w, to) => {
  let a = from[0], b = from[1], c = from[2], d = from[3], e = from[4], x = 0;
  let w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3], w4 = w[4], w5 = w[5];
  let w6 = w[6], w7 = w[7], w8 = w[8], w9 = w[9], w10 = w[10], w11 = w[11];
  let w12 = w[12], w13 = w[13], w14 = w[14], w15 = w[15];
  // Eighty rounds (written by tests/peers/web/rounds.py).
  e = ((((a << 5) | (a >>> 27)) + (d ^ (b & (c ^ d))) + e + 0x5a827999) | 0) + w0 | 0; b = (b << 30) | (b >>> 2);
  d = ((((e << 5) | (e >>> 27)) + (c ^ (a & (b ^ c))) + d + 0x5a827999) | 0) + w1 | 0; a = (a << 30) | (a >>> 2);
  c = ((((d << 5) | (d >>> 27)) + (b ^ (e & (a ^ b))) + c + 0x5a827999) | 0) + w2 | 0; e = (e << 30) | (e >>> 2);
  b = ((((c << 5) | (c >>> 27)) + (a ^ (d & (e ^ a))) + b + 0x5a827999) | 0) + w3 | 0; d = (d << 30) | (d >>> 2);
  a = ((((b << 5) | (b >>> 27)) + (e ^ (c & (d ^ e))) + a + 0x5a827999) | 0) + w4 | 0; c = (c << 30) | (c >>> 2);
  e = ((((a << 5) | (a >>> 27)) + (d ^ (b & (c ^ d))) + e + 0x5a827999) | 0) + w5 | 0; b = (b << 30) | (b >>> 2);
  d = ((((e << 5) | (e >>> 27)) + (c ^ (a & (b ^ c))) + d + 0x5a827999) | 0) + w6 | 0; a = (a << 30) | (a >>> 2);
  c = ((((d << 5) | (d >>> 27)) + (b ^ (e & (a ^ b))) + c + 0x5a827999) | 0) + w7 | 0; e = (e << 30) | (e >>> 2);
  b = ((((c << 5) | (c >>> 27)) + (a ^ (d & (e ^ a))) + b + 0x5a827999) | 0) + w8 | 0; d = (d << 30) | (d >>> 2);
  a = ((((b << 5) | (b >>> 27)) + (e ^ (c & (d ^ e))) + a + 0x5a827999) | 0) + w9 | 0; c = (c << 30) | (c >>> 2);
  e = ((((a << 5) | (a >>> 27)) + (d ^ (b & (c ^ d))) + e + 0x5a827999) | 0) + w10 | 0; b = (b << 30) | (b >>> 2);
  d = ((((e << 5) | (e >>> 27)) + (c ^ (a & (b ^ c))) + d + 0x5a827999) | 0) + w11 | 0; a = (a << 30) | (a >>> 2);
  c = ((((d << 5) | (d >>> 27)) + (b ^ (e & (a ^ b))) + c + 0x5a827999) | 0) + w12 | 0; e = (e << 30) | (e >>> 2);
  b = ((((c << 5) | (c >>> 27)) + (a ^ (d & (e ^ a))) + b + 0x5a827999) | 0) + w13 | 0; d = (d << 30) | (d >>> 2);
  a = ((((b << 5) | (b >>> 27)) + (e ^ (c & (d ^ e))) + a + 0x5a827999) | 0) + w14 | 0; c = (c << 30) | (c >>> 2);
  e = ((((a << 5) | (a >>> 27)) + (d ^ (b & (c ^ d))) + e + 0x5a827999) | 0) + w15 | 0; b = (b << 30) | (b >>> 2);
  x = w13 ^ w8 ^ w2 ^ w0; w0 = (x << 1) | (x >>> 31); d = ((((e << 5) | (e >>> 27)) + (c ^ (a & (b ^ c))) + d + 0x5a827999) | 0) + w0 | 0; a = (a << 30) | (a >>> 2);
  x = w14 ^ w9 ^ w3 ^ w1; w1 = (x << 1) | (x >>> 31); c = ((((d << 5) | (d >>> 27)) + (b ^ (e & (a ^ b))) + c + 0x5a827999) | 0) + w1 | 0; e = (e << 30) | (e >>> 2);
  x = w15 ^ w10 ^ w4 ^ w2; w2 = (x << 1) | (x >>> 31); b = ((((c << 5) | (c >>> 27)) + (a ^ (d & (e ^ a))) + b + 0x5a827999) | 0) + w2 | 0; d = (d << 30) | (d >>> 2);
  x = w0 ^ w11 ^ w5 ^ w3; w3 = (x << 1) | (x >>> 31); a = ((((b << 5) | (b >>> 27)) + (e ^ (c & (d ^ e))) + a + 0x5a827999) | 0) + w3 | 0; c = (c << 30) | (c >>> 2);
  x = w1 ^ w12 ^ w6 ^ w4; w4 = (x << 1) | (x >>> 31); e = ((((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e + 0x6ed9eba1) | 0) + w4 | 0; b = (b << 30) | (b >>> 2);
  x = w2 ^ w13 ^ w7 ^ w5; w5 = (x << 1) | (x >>> 31); d = ((((e << 5) | (e >>> 27)) + (a ^ b ^ c) + d + 0x6ed9eba1) | 0) + w5 | 0; a = (a << 30) | (a >>> 2);
  x = w3 ^ w14 ^ w8 ^ w6; w6 = (x << 1) | (x >>> 31); c = ((((d << 5) | (d >>> 27)) + (e ^ a ^ b) + c + 0x6ed9eba1) | 0) + w6 | 0; e = (e << 30) | (e >>> 2);
  x = w4 ^ w15 ^ w9 ^ w7; w7 = (x << 1) | (x >>> 31); b = ((((c << 5) | (c >>> 27)) + (d ^ e ^ a) + b + 0x6ed9eba1) | 0) + w7 | 0; d = (d << 30) | (d >>> 2);
  x = w5 ^ w0 ^ w10 ^ w8; w8 = (x << 1) | (x >>> 31); a = ((((b << 5) | (b >>> 27)) + (c ^ d ^ e) + a + 0x6ed9eba1) | 0) + w8 | 0; c = (c << 30) | (c >>> 2);
  x = w6 ^ w1 ^ w11 ^ w9; w9 = (x << 1) | (x >>> 31); e = ((((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e + 0x6ed9eba1) | 0) + w9 | 0; b = (b << 30) | (b >>> 2);
  x = w7 ^ w2 ^ w12 ^ w10; w10 = (x << 1) | (x >>> 31); d = ((((e << 5) | (e >>> 27)) + (a ^ b ^ c) + d + 0x6ed9eba1) | 0) + w10 | 0; a = (a << 30) | (a >>> 2);
  x = w8 ^ w3 ^ w13 ^ w11; w11 = (x << 1) | (x >>> 31); c = ((((d << 5) | (d >>> 27)) + (e ^ a ^ b) + c + 0x6ed9eba1) | 0) + w11 | 0; e = (e << 30) | (e >>> 2);
  x = w9 ^ w4 ^ w14 ^ w12; w12 = (x << 1) | (x >>> 31); b = ((((c << 5) | (c >>> 27)) + (d ^ e ^ a) + b + 0x6ed9eba1) | 0) + w12 | 0; d = (d << 30) | (d >>> 2);
  x = w10 ^ w5 ^ w15 ^ w13; w13 = (x << 1) | (x >>> 31); a = ((((b << 5) | (b >>> 27)) + (c ^ d ^ e) + a + 0x6ed9eba1) | 0) + w13 | 0; c = (c << 30) | (c >>> 2);
  x = w11 ^ w6 ^ w0 ^ w14; w14 = (x << 1) | (x >>> 31); e = ((((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e + 0x6ed9eba1) | 0) + w14 | 0; b = (b << 30) | (b >>> 2);
  x = w12 ^ w7 ^ w1 ^ w15; w15 = (x << 1) | (x >>> 31); d = ((((e << 5) | (e >>> 27)) + (a ^ b ^ c) + d + 0x6ed9eba1) | 0) + w15 | 0; a = (a << 30) | (a >>> 2);
  x = w13 ^ w8 ^ w2 ^ w0; w0 = (x << 1) | (x >>> 31); c = ((((d << 5) | (d >>> 27)) + (e ^ a ^ b) + c + 0x6ed9eba1) | 0) + w0 | 0; e = (e << 30) | (e >>> 2);
  x = w14 ^ w9 ^ w3 ^ w1; w1 = (x << 1) | (x >>> 31); b = ((((c << 5) | (c >>> 27)) + (d ^ e ^ a) + b + 0x6ed9eba1) | 0) + w1 | 0; d = (d << 30) | (d >>> 2);
  x = w15 ^ w10 ^ w4 ^ w2; w2 = (x << 1) | (x >>> 31); a = ((((b << 5) | (b >>> 27)) + (c ^ d ^ e) + a + 0x6ed9eba1) | 0) + w2 | 0; c = (c << 30) | (c >>> 2);
  x = w0 ^ w11 ^ w5 ^ w3; w3 = (x << 1) | (x >>> 31); e = ((((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e + 0x6ed9eba1) | 0) + w3 | 0; b = (b << 30) | (b >>> 2);
  x = w1 ^ w12 ^ w6 ^ w4; w4 = (x << 1) | (x >>> 31); d = ((((e << 5) | (e >>> 27)) + (a ^ b ^ c) + d + 0x6ed9eba1) | 0) + w4 | 0; a = (a << 30) | (a >>> 2);
  x = w2 ^ w13 ^ w7 ^ w5; w5 = (x << 1) | (x >>> 31); c = ((((d << 5) | (d >>> 27)) + (e ^ a ^ b) + c + 0x6ed9eba1) | 0) + w5 | 0; e = (e << 30) | (e >>> 2);
  x = w3 ^ w14 ^ w8 ^ w6; w6 = (x << 1) | (x >>> 31); b = ((((c << 5) | (c >>> 27)) + (d ^ e ^ a) + b + 0x6ed9eba1) | 0) + w6 | 0; d = (d << 30) | (d >>> 2);
  x = w4 ^ w15 ^ w9 ^ w7; w7 = (x << 1) | (x >>> 31); a = ((((b << 5) | (b >>> 27)) + (c ^ d ^ e) + a + 0x6ed9eba1) | 0) + w7 | 0; c = (c << 30) | (c >>> 2);
  x = w5 ^ w0 ^ w10 ^ w8; w8 = (x << 1) | (x >>> 31); e = ((((a << 5) | (a >>> 27)) + ((b & c) | (d & (b | c))) + e - 0x70e44324) | 0) + w8 | 0; b = (b << 30) | (b >>> 2);
  x = w6 ^ w1 ^ w11 ^ w9; w9 = (x << 1) | (x >>> 31); d = ((((e << 5) | (e >>> 27)) + ((a & b) | (c & (a | b))) + d - 0x70e44324) | 0) + w9 | 0; a = (a << 30) | (a >>> 2);
  x = w7 ^ w2 ^ w12 ^ w10; w10 = (x << 1) | (x >>> 31); c = ((((d << 5) | (d >>> 27)) + ((e & a) | (b & (e | a))) + c - 0x70e44324) | 0) + w10 | 0; e = (e << 30) | (e >>> 2);
  x = w8 ^ w3 ^ w13 ^ w11; w11 = (x << 1) | (x >>> 31); b = ((((c << 5) | (c >>> 27)) + ((d & e) | (a & (d | e))) + b - 0x70e44324) | 0) + w11 | 0; d = (d << 30) | (d >>> 2);
  x = w9 ^ w4 ^ w14 ^ w12; w12 = (x << 1) | (x >>> 31); a = ((((b << 5) | (b >>> 27)) + ((c & d) | (e & (c | d))) + a - 0x70e44324) | 0) + w12 | 0; c = (c << 30) | (c >>> 2);
  x = w10 ^ w5 ^ w15 ^ w13; w13 = (x << 1) | (x >>> 31); e = ((((a << 5) | (a >>> 27)) + ((b & c) | (d & (b | c))) + e - 0x70e44324) | 0) + w13 | 0; b = (b << 30) | (b >>> 2);
  x = w11 ^ w6 ^ w0 ^ w14; w14 = (x << 1) | (x >>> 31); d = ((((e << 5) | (e >>> 27)) + ((a & b) | (c & (a | b))) + d - 0x70e44324) | 0) + w14 | 0; a = (a << 30) | (a >>> 2);
  x = w12 ^ w7 ^ w1 ^ w15; w15 = (x << 1) | (x >>> 31); c = ((((d << 5) | (d >>> 27)) + ((e & a) | (b & (e | a))) + c - 0x70e44324) | 0) + w15 | 0; e = (e << 30) | (e >>> 2);
  x = w13 ^ w8 ^ w2 ^ w0; w0 = (x << 1) | (x >>> 31); b = ((((c << 5) | (c >>> 27)) + ((d & e) | (a & (d | e))) + b - 0x70e44324) | 0) + w0 | 0; d = (d << 30) | (d >>> 2);
  x = w14 ^ w9 ^ w3 ^ w1; w1 = (x << 1) | (x >>> 31); a = ((((b << 5) | (b >>> 27)) + ((c & d) | (e & (c | d))) + a - 0x70e44324) | 0) + w1 | 0; c = (c << 30) | (c >>> 2);
  x = w15 ^ w10 ^ w4 ^ w2; w2 = (x << 1) | (x >>> 31); e = ((((a << 5) | (a >>> 27)) + ((b & c) | (d & (b | c))) + e - 0x70e44324) | 0) + w2 | 0; b = (b << 30) | (b >>> 2);
  x = w0 ^ w11 ^ w5 ^ w3; w3 = (x << 1) | (x >>> 31); d = ((((e << 5) | (e >>> 27)) + ((a & b) | (c & (a | b))) + d - 0x70e44324) | 0) + w3 | 0; a = (a << 30) | (a >>> 2);
  x = w1 ^ w12 ^ w6 ^ w4; w4 = (x << 1) | (x >>> 31); c = ((((d << 5) | (d >>> 27)) + ((e & a) | (b & (e | a))) + c - 0x70e44324) | 0) + w4 | 0; e = (e << 30) | (e >>> 2);
  x = w2 ^ w13 ^ w7 ^ w5; w5 = (x << 1) | (x >>> 31); b = ((((c << 5) | (c >>> 27)) + ((d & e) | (a & (d | e))) + b - 0x70e44324) | 0) + w5 | 0; d = (d << 30) | (d >>> 2);
  x = w3 ^ w14 ^ w8 ^ w6; w6 = (x << 1) | (x >>> 31); a = ((((b << 5) | (b >>> 27)) + ((c & d) | (e & (c | d))) + a - 0x70e44324) | 0) + w6 | 0; c = (c << 30) | (c >>> 2);
  x = w4 ^ w15 ^ w9 ^ w7; w7 = (x << 1) | (x >>> 31); e = ((((a << 5) | (a >>> 27)) + ((b & c) | (d & (b | c))) + e - 0x70e44324) | 0) + w7 | 0; b = (b << 30) | (b >>> 2);
  x = w5 ^ w0 ^ w10 ^ w8; w8 = (x << 1) | (x >>> 31); d = ((((e << 5) | (e >>> 27)) + ((a & b) | (c & (a | b))) + d - 0x70e44324) | 0) + w8 | 0; a = (a << 30) | (a >>> 2);
  x = w6 ^ w1 ^ w11 ^ w9; w9 = (x << 1) | (x >>> 31); c = ((((d << 5) | (d >>> 27)) + ((e & a) | (b & (e | a))) + c - 0x70e44324) | 0) + w9 | 0; e = (e << 30) | (e >>> 2);
  x = w7 ^ w2 ^ w12 ^ w10; w10 = (x << 1) | (x >>> 31); b = ((((c << 5) | (c >>> 27)) + ((d & e) | (a & (d | e))) + b - 0x70e44324) | 0) + w10 | 0; d = (d << 30) | (d >>> 2);
  x = w8 ^ w3 ^ w13 ^ w11; w11 = (x << 1) | (x >>> 31); a = ((((b << 5) | (b >>> 27)) + ((c & d) | (e & (c | d))) + a - 0x70e44324) | 0) + w11 | 0; c = (c << 30) | (c >>> 2);
  x = w9 ^ w4 ^ w14 ^ w12; w12 = (x << 1) | (x >>> 31); e = ((((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e - 0x359d3e2a) | 0) + w12 | 0; b = (b << 30) | (b >>> 2);
  x = w10 ^ w5 ^ w15 ^ w13; w13 = (x << 1) | (x >>> 31); d = ((((e << 5) | (e >>> 27)) + (a ^ b ^ c) + d - 0x359d3e2a) | 0) + w13 | 0; a = (a << 30) | (a >>> 2);
  x = w11 ^ w6 ^ w0 ^ w14; w14 = (x << 1) | (x >>> 31); c = ((((d << 5) | (d >>> 27)) + (e ^ a ^ b) + c - 0x359d3e2a) | 0) + w14 | 0; e = (e << 30) | (e >>> 2);
  x = w12 ^ w7 ^ w1 ^ w15; w15 = (x << 1) | (x >>> 31); b = ((((c << 5) | (c >>> 27)) + (d ^ e ^ a) + b - 0x359d3e2a) | 0) + w15 | 0; d = (d << 30) | (d >>> 2);
  x = w13 ^ w8 ^ w2 ^ w0; w0 = (x << 1) | (x >>> 31); a = ((((b << 5) | (b >>> 27)) + (c ^ d ^ e) + a - 0x359d3e2a) | 0) + w0 | 0; c = (c << 30) | (c >>> 2);
  x = w14 ^ w9 ^ w3 ^ w1; w1 = (x << 1) | (x >>> 31); e = ((((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e - 0x359d3e2a) | 0) + w1 | 0; b = (b << 30) | (b >>> 2);
  x = w15 ^ w10 ^ w4 ^ w2; w2 = (x << 1) | (x >>> 31); d = ((((e << 5) | (e >>> 27)) + (a ^ b ^ c) + d - 0x359d3e2a) | 0) + w2 | 0; a = (a << 30) | (a >>> 2);
  x = w0 ^ w11 ^ w5 ^ w3; w3 = (x << 1) | (x >>> 31); c = ((((d << 5) | (d >>> 27)) + (e ^ a ^ b) + c - 0x359d3e2a) | 0) + w3 | 0; e = (e << 30) | (e >>> 2);
  x = w1 ^ w12 ^ w6 ^ w4; w4 = (x << 1) | (x >>> 31); b = ((((c << 5) | (c >>> 27)) + (d ^ e ^ a) + b - 0x359d3e2a) | 0) + w4 | 0; d = (d << 30) | (d >>> 2);
  x = w2 ^ w13 ^ w7 ^ w5; w5 = (x << 1) | (x >>> 31); a = ((((b << 5) | (b >>> 27)) + (c ^ d ^ e) + a - 0x359d3e2a) | 0) + w5 | 0; c = (c << 30) | (c >>> 2);
  x = w3 ^ w14 ^ w8 ^ w6; w6 = (x << 1) | (x >>> 31); e = ((((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e - 0x359d3e2a) | 0) + w6 | 0; b = (b << 30) | (b >>> 2);
  x = w4 ^ w15 ^ w9 ^ w7; w7 = (x << 1) | (x >>> 31); d = ((((e << 5) | (e >>> 27)) + (a ^ b ^ c) + d - 0x359d3e2a) | 0) + w7 | 0; a = (a << 30) | (a >>> 2);
  x = w5 ^ w0 ^ w10 ^ w8; w8 = (x << 1) | (x >>> 31); c = ((((d << 5) | (d >>> 27)) + (e ^ a ^ b) + c - 0x359d3e2a) | 0) + w8 | 0; e = (e << 30) | (e >>> 2);
  x = w6 ^ w1 ^ w11 ^ w9; w9 = (x << 1) | (x >>> 31); b = ((((c << 5) | (c >>> 27)) + (d ^ e ^ a) + b - 0x359d3e2a) | 0) + w9 | 0; d = (d << 30) | (d >>> 2);
  x = w7 ^ w2 ^ w12 ^ w10; w10 = (x << 1) | (x >>> 31); a = ((((b << 5) | (b >>> 27)) + (c ^ d ^ e) + a - 0x359d3e2a) | 0) + w10 | 0; c = (c << 30) | (c >>> 2);
  x = w8 ^ w3 ^ w13 ^ w11; w11 = (x << 1) | (x >>> 31); e = ((((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e - 0x359d3e2a) | 0) + w11 | 0; b = (b << 30) | (b >>> 2);
  x = w9 ^ w4 ^ w14 ^ w12; w12 = (x << 1) | (x >>> 31); d = ((((e << 5) | (e >>> 27)) + (a ^ b ^ c) + d - 0x359d3e2a) | 0) + w12 | 0; a = (a << 30) | (a >>> 2);
  x = w10 ^ w5 ^ w15 ^ w13; w13 = (x << 1) | (x >>> 31); c = ((((d << 5) | (d >>> 27)) + (e ^ a ^ b) + c - 0x359d3e2a) | 0) + w13 | 0; e = (e << 30) | (e >>> 2);
  x = w11 ^ w6 ^ w0 ^ w14; w14 = (x << 1) | (x >>> 31); b = ((((c << 5) | (c >>> 27)) + (d ^ e ^ a) + b - 0x359d3e2a) | 0) + w14 | 0; d = (d << 30) | (d >>> 2);
  x = w12 ^ w7 ^ w1 ^ w15; w15 = (x << 1) | (x >>> 31); a = ((((b << 5) | (b >>> 27)) + (c ^ d ^ e) + a - 0x359d3e2a) | 0) + w15 | 0; c = (c << 30) | (c >>> 2);
  // The rounds end.
  to[1] = from[1] + b;
  to[2] = from[2] + c;
  to[3] = from[3] + d;
  to[4] = from[4] + e;
  return (to[0] = (from[0] + a) | 0);
};

// The day in UTC, whatever the zone of this machine: it would tell of it.
const today = () => new Date().toISOString().slice(2, 10).replaceAll("-", "");

const letters = (count) =>
  Array.from(crypto.getRandomValues(new Uint8Array(count)), (one) => LETTERS[one & 63]).join("");

// The stamp but for its counter, which is to begin at a word of a block that has room for
// it and for what ends a hash: as many letters are added to the salt as that takes.
const challenge = (bits, resource) => {
  let head = `1:${bits}:${today()}:${resource}::${letters(SALT)}`;
  while ((head.length + 1) % 4 || (head.length + 1) % BLOCK > BLOCK - TAIL) head += letters(1);
  return `${head}:`;
};

const zeros = (hash) => {
  let bits = 0;
  for (const word of hash) {
    bits += Math.clz32(word);
    if (word) break;
  }
  return bits;
};

// The hash of the blocks before the last one, the last one with its counter to come,
// and where that stands in it.
const begin = (head) => {
  const length = head.length + COUNTER;
  const octets = new Uint8Array(Math.ceil((length + 9) / BLOCK) * BLOCK);
  octets.set(new TextEncoder().encode(head));
  octets[length] = 0x80;
  const view = new DataView(octets.buffer);
  view.setUint32(octets.length - 4, length * 8);
  const hash = Int32Array.from(START);
  const block = new Int32Array(16);
  for (let at = 0; at < octets.length; at += BLOCK) {
    for (let i = 0; i < 16; i++) block[i] = view.getInt32(at + 4 * i);
    if (at + BLOCK < octets.length) compress(hash, block, hash);
  }
  return { hash, block, at: (head.length % BLOCK) / 4 };
};

const pair = (index) => LETTERS[index >> 6] + LETTERS[index & 63];

const mine = (bits, resource) => {
  const head = challenge(bits, resource);
  const { hash, block, at } = begin(head);
  const found = new Int32Array(5);
  const first = Math.min(bits, 32);
  let told = performance.now();
  for (let high = 0; ; high++) {
    block[at] = (PAIRS[(high >> 12) & 4095] << 16) | PAIRS[high & 4095];
    for (let middle = 0; middle < 4096; middle++) {
      const upper = PAIRS[middle] << 16;
      for (let low = 0; low < 4096; low++) {
        block[at + 1] = upper | PAIRS[low];
        if (Math.clz32(compress(hash, block, found)) < first || zeros(found) < bits) continue;
        const counter = [(high >> 12) & 4095, high & 4095, middle, low].map(pair).join("");
        return head + counter;
      }
      if (middle % 4) continue;
      const now = performance.now();
      if (now - told < TOLD_EVERY) continue;
      told = now;
      postMessage({ tries: (high * 4096 + middle + 1) * 4096 });
    }
  }
};

onmessage = ({ data: { bits, resource } }) => postMessage({ stamp: mine(bits, resource) });
