interface Message {
  from: string;
  sender: string;
  to: string;
  subject: string;
  text: string;
  at: Date;
}

function base64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

// RFC 2047: an encoded word has 75 octets at most, so a long text is several of them, and none breaks a character.
function encoded(text: string): string {
  const plain = text.replace(/\p{Cc}+/gu, ' ').trim();
  if (/^[ -~]*$/.test(plain) && plain.length <= 60) return plain;
  const words: string[] = [];
  let word = '';
  for (const character of plain) {
    if (new TextEncoder().encode(word + character).length > 42) {
      words.push(word);
      word = '';
    }
    word += character;
  }
  return [...words, word].map((each) => `=?utf-8?B?${base64(each)}?=`).join('\r\n ');
}

/** A small message (RFC 5322) in octets that every client reads: what is not ASCII is encoded. */
export function compose({ from, sender, to, subject, text, at }: Message): string {
  const date = at.toUTCString().replace('GMT', '+0000');
  const body = base64(text.replaceAll(/\r?\n/g, '\r\n')).replaceAll(/.{76}/g, '$&\r\n');
  const lines = [
    `From: ${encoded(from)} <${sender || `postmaster@${to.slice(to.lastIndexOf('@') + 1)}`}>`,
    `To: <${to}>`,
    `Subject: ${encoded(subject)}`,
    `Date: ${date}`,
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: base64',
    'Auto-Submitted: auto-generated',
    '',
    body,
    '',
  ];
  return lines.join('\r\n');
}
