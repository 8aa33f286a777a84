// Reads each stream of the corpus with Node's own parser of HTTP/1, byte by byte, so that it shows where each head and each message
// ends. Takes streams as lines of JSON from its standard input, and prints what it finds as lines of JSON.
"use strict";
const { readFileSync } = require("node:fs");
const { HTTPParser } = require("_http_common");

/** More than any head of the corpus has, because the limit of a head is each reader's own. */
const HEAD_LEN_MAX = 1 << 20;
/** What the parser is to do after a head: read the body, skip it, or leave the rest to another protocol. */
const [READ_BODY, SKIP_BODY, LEAVE_REST] = [0, 1, 2];

function afterHead(method, status) {
  if (method === "HEAD") return SKIP_BODY;
  return method === "CONNECT" && status >= 200 && status < 300 ? LEAVE_REST : READ_BODY;
}

function read({ reads, method, stream }) {
  const bytes = Buffer.from(stream, "latin1");
  const parser = new HTTPParser();
  const kind = reads === "request" ? HTTPParser.REQUEST : HTTPParser.RESPONSE;
  parser.initialize(kind, {}, HEAD_LEN_MAX, HTTPParser.kLenientNone);
  const messages = [];
  let [read, start, head, switched] = [0, 0, null, false];
  parser[HTTPParser.kOnHeaders] = () => {};
  parser[HTTPParser.kOnBody] = () => {};
  parser[HTTPParser.kOnHeadersComplete] = (...results) => {
    const [, , , , , status, , upgrade] = results;
    head = read - start;
    const after = afterHead(method, status);
    switched = upgrade && after !== SKIP_BODY || after === LEAVE_REST;
    return after;
  };
  parser[HTTPParser.kOnMessageComplete] = () => {
    messages.push([head, read - start - head]);
    [start, head] = [read, null];
  };
  const inHead = (then) => ({ messages, then });
  const inBody = (then) => ({ messages: [...messages, [head, bytes.length - start - head]], then });
  while (read < bytes.length) {
    read += 1;
    if (parser.execute(bytes.subarray(read - 1, read)) instanceof Error) {
      return head === null ? inHead("unreadable") : inBody("broken_body");
    }
    if (switched && head === null) return inHead("other_protocol");
  }
  if (head === null) return inHead(start < bytes.length ? "more_of_the_head" : "nothing");
  const count = messages.length;
  const finished = parser.finish();
  return messages.length > count ? inHead("end_of_the_stream") : inBody(finished ? "more_of_the_body" : "end_of_the_stream");
}

for (const line of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  console.log(JSON.stringify(read(JSON.parse(line))));
}
