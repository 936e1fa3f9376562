// Draws /openapi.json with the vendored viewer. All functions that contact another server are switched off.
const viewer = document.getElementById("viewer");
const dark = matchMedia("(prefers-color-scheme: dark)");

const configuration = () => ({
  url: viewer.dataset.document,
  servers: [{ url: location.origin, description: "This server" }],
  telemetry: false,
  withDefaultFonts: false,
  agent: { disabled: true },
  mcp: { disabled: true },
  hideClientButton: true,
  showDeveloperTools: "never",
  forceDarkModeState: dark.matches ? "dark" : "light",
  hideDarkModeToggle: true,
  authentication: { preferredSecurityScheme: "jwt" },
  persistAuth: false, // a token must not stay in the browser's storage
  defaultHttpClient: { targetKey: "shell", clientKey: "curl" },
  documentDownloadType: "none",
  theme: "none",
});

const reference = Scalar.createApiReference(viewer, configuration());
dark.addEventListener("change", () => reference.updateConfiguration(configuration()));
