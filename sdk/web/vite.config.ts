import { defineConfig } from "vite";

// Two pages, served by the HTTP face at / and /map. Paths are relative, so that a proxy may put a prefix before them.
export default defineConfig({
  base: "./",
  build: {
    outDir: "../../engines/terraloom_engines/http/viewer",
    emptyOutDir: true,
    target: "es2022",
    chunkSizeWarningLimit: 1500,
    rolldownOptions: { input: { index: "index.html", map: "map.html" } },
  },
});
