// Without this setting a library in the viewer would try to compile code at run time, which the policy of the page forbids.
globalThis.__zod_globalConfig = { jitless: true };
