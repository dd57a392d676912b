# SPDX-License-Identifier: MIT
#
# install, uninstall. Public headers go to include/kipc, the ABI's to include/uapi/kipc. A manual page
# is linked to under each of the names that it documents.

.PHONY: install install-headers install-man uninstall uninstall-man

PUBLIC_HEADERS := $(wildcard lib/include/kipc/*.h)
UAPI_HEADERS := $(wildcard uapi/kipc/*.h)
MAN_PAGES := $(wildcard $(foreach s,1 3 7 8,Documentation/man/*.$(s)))
# What the library or the system starts is in nobody's PATH.
DAEMONS := $(filter kipcd,$(TOOLS))
USER_TOOLS := $(filter-out kipcd,$(TOOLS))
UNITS := $(foreach d,$(DAEMONS),$(d).service $(d).socket)
UNIT_PATHS := $(foreach d,$(DAEMONS),$(O)/$(d).service $(O)/$(d).socket)

sed_pc = sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' \
	-e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|' lib/libkipc.pc.in

install-headers:
	$(Q)install -d '$(DESTDIR)$(INCLUDEDIR)/kipc' '$(DESTDIR)$(INCLUDEDIR)/uapi/kipc'
	$(Q)$(if $(PUBLIC_HEADERS),install -m 644 $(PUBLIC_HEADERS) '$(DESTDIR)$(INCLUDEDIR)/kipc/')
	$(Q)$(if $(UAPI_HEADERS),install -m 644 $(UAPI_HEADERS) '$(DESTDIR)$(INCLUDEDIR)/uapi/kipc/')

# Like the library's own path to it, they change with LIBEXECDIR.
$(UNIT_PATHS): $(O)/%: tools/kipcd/%.in $(O)/.libexec
	@mkdir -p $(@D)
	@sed -e 's|@LIBEXECDIR@|$(LIBEXECDIR)|' $< >$@

install-man:
	$(Q)set -e; for page in $(MAN_PAGES); do \
		install -D -m 644 $$page '$(DESTDIR)$(MANDIR)'/man$${page##*.}/$${page##*/}; done
	$(Q)set -e; build/man-links.sh $(MAN_PAGES) | while read -r link page; do \
		ln -sf $$page '$(DESTDIR)$(MANDIR)'/man$${page##*.}/$$link; done

uninstall-man:
	$(Q)for page in $(MAN_PAGES); do \
		rm -f '$(DESTDIR)$(MANDIR)'/man$${page##*.}/$${page##*/}; done
	$(Q)build/man-links.sh $(MAN_PAGES) | while read -r link page; do \
		rm -f '$(DESTDIR)$(MANDIR)'/man$${page##*.}/$$link; done

install: all install-headers install-man $(UNIT_PATHS)
	$(Q)install -d '$(DESTDIR)$(LIBDIR)/pkgconfig' '$(DESTDIR)$(BINDIR)'
	$(Q)install -m 755 $(SHARED) '$(DESTDIR)$(LIBDIR)/'
	$(Q)ln -sf $(notdir $(SHARED)) '$(DESTDIR)$(LIBDIR)/$(SONAME)'
	$(Q)ln -sf $(SONAME) '$(DESTDIR)$(LIBDIR)/libkipc.so'
	$(Q)install -m 644 $(STATIC) '$(DESTDIR)$(LIBDIR)/'
	$(Q)install -m 644 $(O)/libkipc.pc '$(DESTDIR)$(LIBDIR)/pkgconfig/'
	$(Q)$(if $(USER_TOOLS),install -m 755 $(USER_TOOLS:%=$(O)/%) '$(DESTDIR)$(BINDIR)/')
	$(Q)$(if $(DAEMONS),install -D -m 755 -t '$(DESTDIR)$(LIBEXECDIR)' $(DAEMONS:%=$(O)/%))
	$(Q)$(if $(UNITS),install -D -m 644 -t '$(DESTDIR)$(UNITDIR)' $(UNIT_PATHS))
	$(Q)if [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ]; then ldconfig; fi

uninstall: uninstall-man
	$(Q)cd '$(DESTDIR)$(LIBDIR)' && \
		rm -f libkipc.so libkipc.so.$(MAJOR) libkipc.so.$(VERSION) libkipc.a pkgconfig/libkipc.pc
	$(Q)rm -rf '$(DESTDIR)$(INCLUDEDIR)/kipc' '$(DESTDIR)$(INCLUDEDIR)/uapi/kipc'
	$(Q)rmdir '$(DESTDIR)$(INCLUDEDIR)/uapi' 2>/dev/null || :
	$(Q)rm -f $(USER_TOOLS:%='$(DESTDIR)$(BINDIR)/%') $(DAEMONS:%='$(DESTDIR)$(LIBEXECDIR)/%') \
		$(UNITS:%='$(DESTDIR)$(UNITDIR)/%')

# What bash needs to complete the tools' command lines.
COMPLETIONS := $(wildcard tools/*/*.bash)
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions

.PHONY: install-completions uninstall-completions
install: install-completions
install-completions:
	$(Q)set -e; for file in $(COMPLETIONS); do name=$${file##*/}; \
		install -D -m 644 $$file '$(DESTDIR)$(COMPLETIONDIR)'/$${name%.bash}; done

uninstall: uninstall-completions
uninstall-completions:
	$(Q)rm -f $(foreach c,$(COMPLETIONS),'$(DESTDIR)$(COMPLETIONDIR)/$(basename $(notdir $(c)))')
