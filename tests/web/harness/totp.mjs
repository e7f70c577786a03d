// One-time codes (RFC 6238: SHA-1, six digits, thirty seconds), as an authenticator shows them.
import { createHmac } from 'node:crypto';

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

function octets(base32) {
  const bits = [...base32.replace(/[\s=]/g, '')].map((digit) => DIGITS.indexOf(digit).toString(2).padStart(5, '0'));
  return Buffer.from(bits.join('').match(/.{8}/g).map((octet) => Number.parseInt(octet, 2)));
}

export function code(secret, step = Math.floor(Date.now() / 30_000)) {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = createHmac('sha1', octets(secret)).update(counter).digest();
  const number = mac.readUInt32BE(mac[19] & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, '0');
}

/** A code that was not shown yet: each counts once, and the one after the present one is taken too. */
export function nextCode(secret) {
  return code(secret, Math.floor(Date.now() / 30_000) + 1);
}
