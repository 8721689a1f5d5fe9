// Chromium without a window, told what to do over its pipe for debuggers: a page's size, colours, what it shows and to whom.
import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { temporary } from '../support/servers.js';
import { eventually } from '../support/sluice.js';
import { CHROMIUM_ARGS, chromium } from './chromium.js';

type Json = Readonly<Record<string, unknown>>;
interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Json;
  readonly sessionId?: string;
  readonly result?: Json;
  readonly error?: { readonly message: string };
}

/** A node of the tree that screen readers are given. */
export interface AccessibleNode {
  readonly role: string;
  readonly name: string;
}

export class Chromium {
  private readonly directory = temporary('chromium', null);
  private readonly child: ChildProcess;
  private readonly ended: Promise<unknown>;
  private readonly answers = new Map<number, (message: Message) => void>();
  private readonly tabs = new Map<unknown, Tab>();
  private next = 1;
  private text = '';

  constructor() {
    const args = [...CHROMIUM_ARGS, `--user-data-dir=${this.directory}`, '--remote-debugging-pipe'];
    this.child = spawn(chromium ?? '', args, {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.ended = new Promise((resolve) => this.child.once('close', resolve));
    const out = this.child.stdio[4] as Readable;
    out.setEncoding('utf8').on('data', (chunk: string) => this.read(chunk));
    out.on('error', () => undefined);
    this.child.stdio[3]?.on('error', () => undefined);
    void this.ended.then(() => {
      for (const [id, answer] of this.answers) answer({ id, error: { message: 'the browser has ended' } });
    });
  }

  /** A page of this size, in these colours. Nothing is cached from others. */
  async open(width: number, height: number, scheme: 'light' | 'dark'): Promise<Tab> {
    const { browserContextId } = await this.send('Target.createBrowserContext');
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank', browserContextId });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const tab = new Tab((method, params) => this.send(method, params, String(sessionId)));
    this.tabs.set(sessionId, tab);
    await tab.begin(width, height, scheme);
    return tab;
  }

  async close(): Promise<void> {
    // The program is a script around the browser, which has processes of its own: all of the group.
    if (this.child.pid !== undefined && this.child.exitCode === null) process.kill(-this.child.pid, 'SIGKILL');
    await this.ended;
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }

  private send(method: string, params: Json = {}, sessionId?: string): Promise<Json> {
    const id = this.next++;
    const answered = new Promise<Json>((resolve, reject) => {
      this.answers.set(id, ({ result, error }) => {
        this.answers.delete(id);
        if (error === undefined) resolve(result ?? {});
        else reject(new Error(`${method}: ${error.message}`));
      });
    });
    (this.child.stdio[3] as Writable).write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return answered;
  }

  private read(chunk: string): void {
    const parts = (this.text + chunk).split('\0');
    this.text = parts.pop() ?? '';
    for (const part of parts) {
      const message = JSON.parse(part) as Message;
      if (message.id !== undefined) this.answers.get(message.id)?.(message);
      else if (message.method !== undefined)
        this.tabs.get(message.sessionId)?.heard(message.method, message.params ?? {});
    }
  }
}

export class Tab {
  /** URLs that the page has asked for. */
  readonly requested: string[] = [];
  /** What the page has complained about: exceptions, violations of its policy. */
  readonly complaints: string[] = [];

  constructor(private readonly send: (method: string, params?: Json) => Promise<Json>) {}

  async begin(width: number, height: number, scheme: string): Promise<void> {
    for (const domain of ['Page', 'Network', 'Runtime', 'Log', 'Accessibility']) await this.send(`${domain}.enable`);
    await this.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 600 });
    await this.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] });
  }

  heard(method: string, params: Json): void {
    if (method === 'Network.requestWillBeSent') this.requested.push((params.request as { url: string }).url);
    if (method === 'Runtime.exceptionThrown') this.complaints.push(JSON.stringify(params.exceptionDetails));
    if (method === 'Log.entryAdded') {
      const { text, source, url = '' } = params.entry as { text: string; source: string; url?: string };
      // That a server is away is what some tests are about.
      if (source !== 'network') this.complaints.push(`${text} ${url}`);
    }
  }

  async go(url: string): Promise<void> {
    await this.send('Page.navigate', { url });
  }

  /** The value of an expression in the page. */
  async value<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { expression, returnByValue: true });
    if (exceptionDetails !== undefined) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
    return (result as { value: T }).value;
  }

  /** Waits until the expression is true in the page. */
  until(expression: string): Promise<void> {
    return eventually(() => this.value<boolean>(`Boolean(${expression})`), expression);
  }

  async press(key: string, code = key): Promise<void> {
    const keys: Readonly<Record<string, number>> = { Tab: 9, Enter: 13, Space: 32, ArrowUp: 38, ArrowDown: 40 };
    const event = { key: key === 'Space' ? ' ' : key, code, windowsVirtualKeyCode: keys[key] ?? 0 };
    const text = key === 'Enter' ? '\r' : key === 'Space' ? ' ' : key.length === 1 ? key : '';
    await this.send('Input.dispatchKeyEvent', { type: text === '' ? 'rawKeyDown' : 'keyDown', ...event, text });
    await this.send('Input.dispatchKeyEvent', { type: 'keyUp', ...event });
  }

  async colours(scheme: 'light' | 'dark'): Promise<void> {
    await this.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] });
  }

  /** What a screen reader is given. */
  async accessible(): Promise<readonly AccessibleNode[]> {
    const { nodes } = await this.send('Accessibility.getFullAXTree');
    interface Raw {
      readonly ignored: boolean;
      readonly role?: { readonly value: string };
      readonly name?: { readonly value: string };
    }
    return (nodes as readonly Raw[])
      .filter(({ ignored }) => !ignored)
      .map(({ role, name }) => ({ role: role?.value ?? '', name: name?.value ?? '' }));
  }

  /** What is to be seen, as a PNG or as WebP. */
  async picture(format: 'png' | 'webp', quality?: number): Promise<Buffer> {
    const { data } = await this.send('Page.captureScreenshot', { format, ...(quality !== undefined && { quality }) });
    return Buffer.from(String(data), 'base64');
  }
}
