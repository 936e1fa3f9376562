// Draws /openapi.json with the vendored viewer. All functions that contact another server are switched off.
const viewer = document.getElementById("viewer");

Scalar.createApiReference(viewer, {
  url: viewer.dataset.document,
  servers: [{ url: location.origin, description: "This server" }],
  telemetry: false,
  withDefaultFonts: false,
  agent: { disabled: true },
  mcp: { disabled: true },
  hideClientButton: true,
  showDeveloperTools: "never",
  hideDarkModeToggle: true, // the colours follow the reader's system, as on all pages
  authentication: { preferredSecurityScheme: "jwt" },
  persistAuth: false, // a token must not stay in the browser's storage
  defaultHttpClient: { targetKey: "shell", clientKey: "curl" },
  documentDownloadType: "none",
  theme: "none",
});
