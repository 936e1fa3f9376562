/** Compiles src/ to dist/, and copies the declarations, which the compiler does not, and the licence of the project. */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, rmSync } from "node:fs";

rmSync("dist", { recursive: true, force: true });
execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "--project", "tsconfig.json"], { stdio: "inherit" });
for (const name of readdirSync("src").filter((each) => each.endsWith(".d.ts"))) cpSync(`src/${name}`, `dist/${name}`);
if (existsSync("../../LICENSE")) cpSync("../../LICENSE", "LICENSE");
