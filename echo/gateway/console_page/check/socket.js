// One WebSocket as checks use it: open, send, wait for what comes next. Does not touch the page.

import { now, until } from "./time.js";

export const LOST = 1006; // The browser's code for an end without a close frame.
export const NO_CLOSE_FRAME = "the connection was closed without a close frame";

/** A WebSocket did not open; the browser does not say why. */
export class RefusedError extends Error {}

/** The end of a WebSocket: the other side's close frame, or `LOST`. */
export class Closed {
  constructor(code, reason) {
    this.code = code;
    this.reason = code === LOST ? NO_CLOSE_FRAME : reason;
    this.at = now();
  }
}

export class Socket {
  #socket;
  #came = [];
  #wake = () => {};

  closed = null; // How it ended; null while it is open.

  /** Open one; rejects with RefusedError if it does not, and when the signal is aborted. */
  static async open(url, signal) {
    signal.throwIfAborted();
    const socket = new Socket(new WebSocket(url));
    try {
      await socket.#next(signal, () => socket.closed || socket.isOpen);
    } catch (error) {
      socket.close();
      throw error;
    }
    if (!socket.isOpen) throw new RefusedError("a WebSocket did not open");
    return socket;
  }

  constructor(socket) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#wake();
    socket.onmessage = ({ data }) => {
      this.#came.push(data);
      this.#wake();
    };
    socket.onclose = ({ code, reason }) => {
      this.closed = new Closed(code, reason);
      this.#wake();
    };
  }

  get isOpen() {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  /** The negotiated extensions, such as "permessage-deflate". */
  get extensions() {
    return this.#socket.extensions;
  }

  /** Bytes that the browser has not handed to the network. */
  get buffered() {
    return this.#socket.bufferedAmount;
  }

  /** Send text or bytes; returns whether it was open. */
  send(data) {
    if (!this.isOpen) return false;
    this.#socket.send(data);
    return true;
  }

  /** Send a close frame. `receive` then returns the other side's. */
  close(code, reason) {
    this.#socket.close(code, reason);
  }

  /** The next message, a string or an ArrayBuffer; or `Closed`. For one at a time. */
  async receive(signal) {
    await this.#next(signal, () => this.#came.length > 0 || this.closed);
    return this.#came.length > 0 ? this.#came.shift() : this.closed;
  }

  /** Wait until it has ended. */
  async end(signal) {
    await this.#next(signal, () => this.closed);
  }

  async #next(signal, holds) {
    try {
      await until(signal, (done) => {
        this.#wake = () => holds() && done();
        this.#wake();
      });
    } finally {
      this.#wake = () => {};
    }
  }
}
