// Stands in for Testcontainers where there is no Docker: a container is the image's entry point, run as a process of this machine. It has
// what the module for Toxiproxy uses, and all ports are mapped to themselves.
"use strict";
const { spawn } = require("node:child_process");
const { once } = require("node:events");
const { setTimeout: pause } = require("node:timers/promises");

/** The entry point of the image, and what it is told where the container has no command. */
const ENTRY_POINT = process.env.PAYLAB_BINARY;
const DEFAULT_COMMAND = ["-host=0.0.0.0"];
const HOST = "127.0.0.1";
/** How long the wait strategy waits before it asks again. */
const RETRY_MS = 50;

/** Waits until a request to this path is answered with 200, as the real strategy does by default. */
class HttpWaitStrategy {
  constructor(path, port) {
    Object.assign(this, { path, port });
  }

  async waitUntilReady(deadline) {
    for (;;) {
      const response = await fetch(`http://${HOST}:${this.port}${this.path}`).catch(() => undefined);
      if (response?.status === 200) return;
      if (Date.now() > deadline) throw new Error(`${this.path} did not respond in time`);
      await pause(RETRY_MS);
    }
  }
}

class GenericContainer {
  constructor(image) {
    this.image = image;
    this.command = DEFAULT_COMMAND;
  }

  withExposedPorts(...ports) {
    this.ports = ports;
    return this;
  }

  withWaitStrategy(strategy) {
    this.waitStrategy = strategy;
    return this;
  }

  withStartupTimeout(timeoutMs) {
    this.timeoutMs = timeoutMs;
    return this;
  }

  withCommand(command) {
    this.command = command;
    return this;
  }

  async start() {
    const running = spawn(ENTRY_POINT, this.command, { stdio: "inherit" });
    const started = new AbstractStartedContainer({ running, ports: this.ports });
    try {
      await this.waitStrategy.waitUntilReady(Date.now() + this.timeoutMs);
    } catch (error) {
      await started.stop();
      throw error;
    }
    return started;
  }
}

class AbstractStartedContainer {
  constructor({ running, ports }) {
    Object.assign(this, { running, ports });
  }

  getHost() {
    return HOST;
  }

  getMappedPort(port) {
    if (!this.ports.includes(port)) throw new Error(`port ${port} is not exposed`);
    return port;
  }

  async stop() {
    const ended = once(this.running, "exit");
    this.running.kill("SIGTERM");
    return ended;
  }
}

const Wait = { forHttp: (path, port) => new HttpWaitStrategy(path, port) };
module.exports = { AbstractStartedContainer, GenericContainer, Wait };
