// A library in the viewer tries whether it may compile code at run time. The policy of the page forbids it.
globalThis.__zod_globalConfig = { jitless: true };
