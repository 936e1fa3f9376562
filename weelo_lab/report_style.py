"""The style of the report, which is part of the page, because the page loads nothing."""

from __future__ import annotations

from weelo_lab.plots import LIGHT

CSS = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5c6675; --line: #dfe3e8; --paper: #fff; --card: #f7f8fa;
  --good: #1d8a54; --bad: #c0392b; LIGHT; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa5b4; --line: #2e3742; --paper: #12161c;
  --card: #1a2028; --good: #4cc38a; --bad: #ff7a6b; --policy-0: #6ea0ff; --policy-1: #ffa24d; --policy-2: #4cc38a;
  --policy-3: #c78cf0; --policy-4: #f0708f; --policy-5: #3bbfd9; --policy-6: #cfae54; --policy-7: #9aa5b4; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.55 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 27px; line-height: 1.2; margin: 0 0 6px; } h2 { font-size: 18px; margin: 34px 0 10px; }
p { margin: 6px 0; max-width: 75ch; } .lead { color: var(--soft); } .none, small { color: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: 6px 18px; margin: 14px 0; font-weight: 600; }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 4px; margin-right: 6px; }
.findings { padding-left: 20px; margin: 8px 0; } .findings li { margin: 3px 0; }
.better { color: var(--good); } .worse { color: var(--bad); } .unclear, .same, .different { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 6px 10px; border-bottom: 1px solid var(--line); vertical-align: middle; }
th { color: var(--soft); font-weight: 600; } td.n, th.n { text-align: right; white-space: nowrap; }
td svg { display: block; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 18px; }
figure { margin: 0; padding: 14px 16px; background: var(--card); border-radius: 12px; }
figcaption { margin-bottom: 6px; } figcaption b { display: block; } figcaption span { color: var(--soft); font-size: 13px; }
svg { width: 100%; height: auto; } svg.small { width: 220px; height: 26px; }
svg text { fill: var(--soft); font-size: 12px; } svg .inside { fill: var(--ink); font-size: 11px; }
.grid { stroke: var(--line); } .zero { stroke: var(--soft); stroke-dasharray: 2 2; } .line { fill: none; stroke-width: 2; }
.mean { stroke: var(--paper); stroke-width: 2; } .seed { fill: var(--soft); opacity: .5; }
.interval { stroke: currentColor; stroke-width: 3; stroke-linecap: round; } .point { fill: currentColor; }
.multiples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 160px), 1fr)); gap: 12px; }
.multiples figcaption b { font-size: 14px; } .multiples span { font-size: 12.5px; display: block; }
.seed-line { fill: none; stroke: var(--soft); stroke-width: 1; opacity: .35; }
.mean-line { fill: none; stroke: var(--ink); stroke-width: 2; }
.film { background: var(--card); border-radius: 12px; padding: 14px 16px; }
.film .controls { display: flex; flex-wrap: wrap; align-items: center; gap: 10px 18px; }
.film button, .film select { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--line);
  border-radius: 8px; padding: 6px 14px; } .film button { min-width: 84px; font-weight: 600; cursor: pointer; }
.film :focus-visible { outline: 2px solid var(--policy-0); outline-offset: 2px; }
.film .time { display: flex; align-items: center; gap: 10px; flex: 1 1 260px; }
.film .time input { flex: 1; min-width: 0; accent-color: var(--policy-0); }
.film output { font-variant-numeric: tabular-nums; font-weight: 600; min-width: 66px; }
.film .maps { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 16px; margin-top: 12px; }
.film figure { padding: 0; min-width: 0; } .film figcaption i { display: inline-block; width: 12px; height: 12px;
  border-radius: 4px; margin-right: 6px; }
.film canvas { display: block; width: 100%; aspect-ratio: 5 / 4; background: var(--paper); border: 1px solid var(--line);
  border-radius: 10px; }
.film dl { display: grid; grid-template-columns: repeat(4, 1fr); gap: 8px; margin: 10px 0 4px; }
.film dt { color: var(--soft); font-size: 12.5px; } .film dd { margin: 0; font-size: 18px; font-weight: 600;
  font-variant-numeric: tabular-nums; }
.film ol { list-style: none; margin: 0; padding: 0; min-height: 6.4em; font-size: 13px; font-variant-numeric: tabular-nums; }
.film li { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
code { font: 13px ui-monospace, monospace; }
""".replace("LIGHT", LIGHT)
