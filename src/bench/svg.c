#include "bench/svg.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 640, HEIGHT = 360, LEFT = 70, RIGHT = 30, TOP = 46, BOTTOM = 52, BAR = 26, BAR_STEP = 38, NAMES = 190 };

static const char *const colors[COLORS] = {"#5b7a99", "#d9661f"};

/* Markup characters become entities. */
static void put_text(double x, double y, const char *anchor, int size, const char *text, FILE *out) {
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" font-size=\"%d\">", x, y, anchor, size);
    for (; *text; text++) {
        if (*text == '<')
            fputs("&lt;", out);
        else if (*text == '&')
            fputs("&amp;", out);
        else
            fputc(*text, out);
    }
    fputs("</text>\n", out);
}

static void begin(int height, const char *title, FILE *out) {
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
            "font-family=\"sans-serif\" fill=\"#222\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            WIDTH, height, WIDTH, height);
    put_text(LEFT, 22, "start", 15, title, out);
}

struct axis {
    double low, high, step; /* of the values */
    double from, to;        /* on the picture */
};

/* Ticks at 1, 2 or 5 times a power of ten, about `ticks` of them; the ends are ticks. */
static void set_axis(struct axis *axis, int ticks) {
    double range = axis->high - axis->low;
    if (!(range > 0)) range = fabs(axis->high) > 0 ? fabs(axis->high) : 1;
    double power = pow(10, floor(log10(range / ticks))), part = range / ticks / power;
    axis->step = power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
    axis->low = floor(axis->low / axis->step) * axis->step;
    axis->high = ceil(axis->high / axis->step) * axis->step;
    if (!(axis->high > axis->low)) axis->high = axis->low + axis->step;
}

static double place(const struct axis *axis, double value) {
    return axis->from + (value - axis->low) / (axis->high - axis->low) * (axis->to - axis->from);
}

/* 1500000 is 1.5M. */
static const char *tick_text(double value, char text[32]) {
    double size = fabs(value);
    if (size >= 1e9)
        snprintf(text, 32, "%gG", value / 1e9);
    else if (size >= 1e6)
        snprintf(text, 32, "%gM", value / 1e6);
    else if (size >= 1e4)
        snprintf(text, 32, "%gk", value / 1e3);
    else
        snprintf(text, 32, "%.6g", fabs(value) < 1e-12 ? 0 : value);
    return text;
}

static void draw_axes(const struct axis *x, const struct axis *y, const struct plot *plot, FILE *out) {
    char text[32];
    for (double v = y->low; v <= y->high + y->step / 2; v += y->step) {
        double at = place(y, v);
        fprintf(out, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#ddd\"/>\n", LEFT, at, WIDTH - RIGHT,
                at);
        put_text(LEFT - 6, at + 4, "end", 12, tick_text(v, text), out);
    }
    for (double v = x->low; v <= x->high + x->step / 2; v += x->step)
        put_text(place(x, v), HEIGHT - BOTTOM + 18, "middle", 12, tick_text(v, text), out);
    fprintf(out, "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"#888\"/>\n", LEFT, HEIGHT - BOTTOM,
            WIDTH - RIGHT, HEIGHT - BOTTOM);
    put_text((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 12, "middle", 13, plot->x_label, out);
    put_text(LEFT, TOP - 8, "start", 12, plot->y_label, out);
}

static void draw_legend(const struct plot *plot, FILE *out) {
    double x = WIDTH - RIGHT - 240;
    for (int c = 0; c < COLORS; c++, x += 120) {
        fprintf(out, "<line x1=\"%.0f\" y1=\"34\" x2=\"%.0f\" y2=\"34\" stroke=\"%s\" stroke-width=\"3\"/>\n", x,
                x + 22, colors[c]);
        put_text(x + 28, 38, "start", 12, plot->names[c], out);
    }
}

static void draw_line(const struct line *line, const struct axis *x, const struct axis *y, FILE *out) {
    fprintf(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%s\" stroke-opacity=\"%s\" points=\"",
            colors[line->color], line->faint ? "1" : "2.5", line->faint ? "0.45" : "1");
    for (int i = 0; i < line->count; i++)
        if (isfinite(line->x[i]) && isfinite(line->y[i]))
            fprintf(out, "%.1f,%.1f ", place(x, line->x[i]), place(y, line->y[i]));
    fputs("\"/>\n", out);
}

void svg_plot(const struct plot *plot, FILE *out) {
    struct axis x = {0, -HUGE_VAL, 0, LEFT, WIDTH - RIGHT};
    struct axis y = {HUGE_VAL, -HUGE_VAL, 0, HEIGHT - BOTTOM, TOP};
    for (int l = 0; l < plot->count; l++)
        for (int i = 0; i < plot->lines[l].count; i++) {
            double px = plot->lines[l].x[i], py = plot->lines[l].y[i];
            if (!isfinite(px) || !isfinite(py)) continue;
            x.high = fmax(x.high, px);
            y.low = fmin(y.low, py);
            y.high = fmax(y.high, py);
        }
    begin(HEIGHT, plot->title, out);
    if (x.high >= x.low && y.high >= y.low) {
        set_axis(&x, 6);
        set_axis(&y, 5);
        draw_axes(&x, &y, plot, out);
        draw_legend(plot, out);
        for (int faint = 1; faint >= 0; faint--) /* means on top */
            for (int l = 0; l < plot->count; l++)
                if (plot->lines[l].faint == faint) draw_line(&plot->lines[l], &x, &y, out);
    } else {
        put_text(WIDTH / 2.0, HEIGHT / 2.0, "middle", 14, "nothing was measured", out);
    }
    fputs("</svg>\n", out);
}

void svg_bars(const char *title, const char *unit, const struct bar *bars, int count, FILE *out) {
    double most = 0;
    for (int i = 0; i < count; i++)
        if (isfinite(bars[i].value)) most = fmax(most, bars[i].value);
    begin(TOP + count * BAR_STEP + 10, title, out);
    for (int i = 0; i < count; i++) {
        double y = TOP + i * BAR_STEP, value = isfinite(bars[i].value) ? bars[i].value : 0;
        double length = most > 0 ? value / most * (WIDTH - NAMES - 120) : 0;
        char text[64];
        snprintf(text, sizeof text, "%.4g %s", value, unit);
        put_text(NAMES - 8, y + BAR / 2.0 + 5, "end", 13, bars[i].name, out);
        fprintf(out, "<rect x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", NAMES, y, length, BAR,
                colors[bars[i].color]);
        put_text(NAMES + length + 8, y + BAR / 2.0 + 5, "start", 13, text, out);
    }
    fputs("</svg>\n", out);
}
