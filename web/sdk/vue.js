// @ts-check
/** A plugin for Vue 3: `app.use(mamimon)`; errors of components are reported and still logged. */
import { captureException } from "./mamimon.js";

export const mamimon = {
  /** @param {any} app */
  install(app) {
    const before = app.config.errorHandler;
    app.config.errorHandler = (/** @type {unknown} */ error, /** @type {any} */ instance, /** @type {string} */ info) => {
      captureException(error, { contexts: { vue: { hook: info, component: instance && instance.$options && instance.$options.name } } });
      if (before) before(error, instance, info);
      else console.error(error);
    };
  },
};
