/** `createApp(App).use(mamimon)`: errors of components are reported, and handled as before. */
export const mamimon: { install(app: { config: { errorHandler?: unknown } }): void };
