// Reads an AsyncAPI document from standard input and prints what the public parser finds, one finding a line.
// Exit code 1 if the document is not valid.
const { Parser } = require("@asyncapi/parser");
const { readFileSync } = require("node:fs");

const SEVERITIES = ["error", "warning", "information", "hint"];

new Parser().parse(readFileSync(0, "utf8")).then(({ document, diagnostics }) => {
  for (const { severity, code, path, message } of diagnostics) {
    console.log(`${SEVERITIES[severity]}: ${code} at ${path.join(".")}: ${message}`);
  }
  process.exitCode = document ? 0 : 1;
});
