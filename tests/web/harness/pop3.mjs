// A mail client, as far as the walks need one: POP3 in clear on loopback.
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

export class Refused extends Error {}

export class Pop3 {
  static async open(port) {
    const session = new Pop3();
    session.socket = connect(port, '127.0.0.1');
    session.socket.setEncoding('latin1');
    session.lines = createInterface({ input: session.socket, crlfDelay: Number.POSITIVE_INFINITY })[Symbol.asyncIterator]();
    session.greeting = await session.status();
    return session;
  }

  /** A session in TRANSACTION; refuses as the server does. */
  static async login(port, name, password) {
    const session = await Pop3.open(port);
    try {
      await session.command(`USER ${name}`);
      await session.command(`PASS ${password}`);
    } catch (refused) {
      session.socket.destroy();
      throw refused;
    }
    return session;
  }

  async line() {
    const { value, done } = await this.lines.next();
    if (done) throw new Error('closed by the server');
    return value;
  }

  async status() {
    const line = await this.line();
    if (!line.startsWith('+OK')) throw new Refused(line);
    return line;
  }

  async command(line) {
    this.socket.write(`${line}\r\n`);
    return this.status();
  }

  /** The lines of an answer that has several, without stuffing. */
  async linesOf(command) {
    await this.command(command);
    const lines = [];
    for (;;) {
      const line = await this.line();
      if (line === '.') return lines;
      lines.push(line.replace(/^\./, ''));
    }
  }

  async count() {
    return Number((await this.command('STAT')).split(' ')[1]);
  }

  async quit() {
    await this.command('QUIT');
    this.socket.destroy();
  }
}
