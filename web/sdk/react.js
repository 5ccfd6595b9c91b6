// @ts-check
/** An error boundary for React: `<ErrorBoundary fallback={<p>Sorry</p>}>…</ErrorBoundary>`. */
import { Component } from "react";
import { captureException } from "./mamimon.js";

export class ErrorBoundary extends Component {
  /** @param {any} props */
  constructor(props) {
    super(props);
    this.state = { error: null };
  }
  /** @param {unknown} error */
  static getDerivedStateFromError(error) {
    return { error };
  }
  /** @param {unknown} error @param {any} info */
  componentDidCatch(error, info) {
    captureException(error, { contexts: { react: { component_stack: info && info.componentStack } } });
  }
  render() {
    const { fallback, children } = /** @type {any} */ (this.props);
    const { error } = /** @type {any} */ (this.state);
    if (error === null) return children;
    return typeof fallback === "function" ? fallback(error) : fallback || null;
  }
}
